import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import torch

from flmm.engine.hooks import GalleryHook
from flmm.engine.hooks.gallery_hook import prediction_item
from flmm.structures import GroundingPrediction, SkippedSample

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
