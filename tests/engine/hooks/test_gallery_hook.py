import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from PIL import Image

from flmm.engine.hooks import GalleryHook
from flmm.engine.hooks.gallery_hook import box_reader, prediction_item
from flmm.evaluation.metrics import AnswerMetric, RECMetric, TextBoxes
from flmm.structures import (
    ConversationPrediction,
    GroundingPrediction,
    GroundingSample,
    Phrase,
    SkippedSample,
    Turn,
)

sys.path.insert(0, str(Path(__file__).parents[2] / 'stripes'))
from stripes_parts import Stripes  # noqa: E402


def prediction(index):
    sample = Stripes(5)[index]
    masks = torch.from_numpy(sample.gt_masks)
    return GroundingPrediction(sample, masks, torch.zeros_like(masks))


def test_each_task_gets_its_share_and_skipped_samples_a_line(tmp_path):
    hook = GalleryHook(str(tmp_path), max_samples=2)
    runner = SimpleNamespace(
        logger=logging.getLogger('gallery-test'), test_loop=SimpleNamespace(task='res')
    )
    hook.before_test_epoch(runner)
    hook.after_test_iter(runner, 0, {}, [prediction(0), prediction(1), prediction(2)])
    runner.test_loop.task = 'png'
    skipped = SkippedSample('s/9', 'image_unreadable', 'gone.jpg')
    hook.after_test_iter(runner, 0, {'skipped': [skipped]}, [])
    hook.after_test_epoch(runner, {'res/ciou': 71.5})
    page = (tmp_path / 'index.html').read_text()
    assert len(list((tmp_path / 'sheets').iterdir())) == 2
    assert 'skipped: image_unreadable gone.jpg' in page
    assert '71.50' in page
    assert 'data-group="png"' in page


def test_cards_carry_the_ious_of_both_stages():
    item = prediction_item(prediction(1))
    assert dict(item.scores) == {'mean IoU': 100.0, 'coarse': 0.0}
    assert item.image is not None


def test_a_prediction_without_ground_truth_has_no_score():
    bare = prediction(1)
    bare.sample.gt_masks = None
    assert not prediction_item(bare).scores


def answer(text='[0.2,0.2,0.6,1.0]', image=True):
    """An answer of a system that writes: the box of a phrase, in shares of 50 x 20 pixels."""
    sample = GroundingSample(
        'talk/1',
        image=Image.new('RGB', (50, 20)) if image else None,
        ori_shape=(20, 50),
        turns=[Turn('Where is the ring?', None)],
        phrases=[Phrase('the ring', meta={'box_xyxy': [10, 4, 30, 20]})],
    )
    return ConversationPrediction(sample, text)


def test_an_answer_is_drawn_with_the_box_it_names(tmp_path):
    evaluator = SimpleNamespace(metrics=[RECMetric(reader=TextBoxes('normalised'))])
    loop = SimpleNamespace(task='rec', evaluators={'rec': evaluator})
    runner = SimpleNamespace(logger=logging.getLogger('gallery-test'), test_loop=loop)
    hook = GalleryHook(str(tmp_path))
    hook.before_test_epoch(runner)
    hook.after_test_iter(runner, 0, {}, [answer()])
    hook.after_test_epoch(runner)
    page = (tmp_path / 'index.html').read_text()
    assert 'Where is the ring?' in page and '[0.2,0.2,0.6,1.0]' in page
    assert '<b>100.00</b> IoU of boxes' in page
    (sheet,) = (tmp_path / 'sheets').iterdir()
    # Image, true box, the answer's box: three pictures of 320 pixels, gap 10.
    assert Image.open(sheet).width == 3 * 330 + 10


def test_no_box_in_an_answer_is_an_iou_of_zero_and_without_a_reader_none_is_drawn():
    reader = box_reader([AnswerMetric(), RECMetric(reader=TextBoxes('normalised'))])
    missed = prediction_item(answer('nowhere'), reader=reader)
    assert dict(missed.scores) == {'IoU of boxes': 0.0} and missed.image.width == 1000
    plain = prediction_item(answer())
    assert not plain.scores and plain.image.width == 670
    # Boxes around masks would only repeat these.
    assert box_reader([RECMetric()]) is None


def test_an_answer_to_a_text_without_image_is_words_alone():
    item = prediction_item(answer(image=False))
    assert item.image is None
    assert 'Where is the ring?' in item.words[0].text
