import numpy as np
import pytest
import torch
from PIL import Image

from flmm.datasets.transforms import PrepareCaptions
from flmm.models.caption_batches import (
    locate_phrases,
    masks_on_image,
    predict_captions,
    stack_captions,
)
from flmm.structures import GroundingSample, Phrase, Region, TextPiece


@pytest.fixture
def prepare(tiny_tokenizer):
    def prepare(source, **options):
        ids = dict(begin_id=1, end_id=2, pad_id=3, image_size=32)
        return PrepareCaptions(tiny_tokenizer, source, **{**ids, **options})

    return prepare


def sample(**fields):
    image = Image.fromarray(np.full((40, 80, 3), 200, np.uint8))
    return GroundingSample('s', image=image, ori_shape=(40, 80), **fields)


def narrated():
    """A joint narrative of two words with traces and one without."""
    pieces = [TextPiece('a red', 0), TextPiece(' on '), TextPiece('grass', 1)]
    phrases = [
        Phrase('a red', meta={'box': [0.25, 0.5, 0.5, 1.0]}),
        Phrase('grass', meta={'box': [0.5, 0.0, 1.0, 0.25]}),
    ]
    return sample(pieces=pieces, phrases=phrases, joint_tokens=True)


def test_a_batch_is_filled_up(prepare):
    first = prepare('narrative', context='Describe')(narrated()).lmm_inputs
    phrases = [Phrase('red', meta={'box_xyxy': [0, 0, 40, 40]})] * 3
    masks = np.ones((3, 40, 80), dtype=bool)
    second = prepare('expressions')(sample(phrases=phrases, gt_masks=masks)).lmm_inputs
    batch = stack_captions([first, second])
    assert batch['images'].shape == (2, 3, 32, 32) and batch['tokens'].shape[:2] == (2, 3)
    assert batch['valid'].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert (batch['tokens'][0, 1:] == 3).all() and batch['inside'].sum() == 2 * 16 * 32
    assert (batch['context'][1] == 3).all() and (batch['gt_points'][1] == 0).all()
    assert (batch['gt_boxes'][0] == 0).all() and batch['has_mask'].tolist() == [False, True]
    assert batch['gt_masks'].shape == (2, 3, 32, 32) and not batch['detect'].any()


def test_points_and_masks_come_back_to_the_image(prepare):
    made = prepare('narrative')(narrated()).lmm_inputs
    points = torch.zeros(1, made.tokens.shape[1], 2, 2)
    points[0, made.phrase_tokens[0, 1]] = torch.tensor([[8.0, 8], [16, 99]])
    places, boxes = locate_phrases(made, points)
    assert boxes[0] == pytest.approx([20, 20, 40, 40]) and places[0] == pytest.approx([30, 30])
    made.phrase_tokens[1] = -1
    assert locate_phrases(made, points)[0][1] is None
    logits = torch.full((1, 8, 8), -9.0)
    logits[:, :2, :4] = 9.0  # a quarter of the canvas' height, half of its width
    mask = masks_on_image(made, logits, (40, 80))[0]
    assert mask[:18, :38].all() and not mask[22:].any() and not mask[:, 42:].any()
    assert masks_on_image(made, logits[:0], (40, 80)).shape == (0, 40, 80)


def test_each_task_gets_what_it_asks_for(prepare):
    read = prepare('narrative')(narrated())
    regions = [Region((0, 0, 40, 40), meta={'caption': 'a star'})]
    write = prepare('last_region', task='write')(sample(regions=regions))
    find = prepare('regions', task='detect')(sample(regions=regions))
    asked = []

    def predict(images, inside, boxes, context, tokens):
        asked.append((len(images), boxes is None, tokens is None))
        count = 2 if boxes is None else boxes.shape[1]
        result = dict(
            tokens=torch.tensor([[1, 5, 2]] * count),
            boxes_xyxy=torch.tensor([[8.0, 8, 16, 16]] * count),
            scores=torch.ones(count),
            points=torch.full((count, 9, 2, 2), 8.0),
        )
        return [result] * len(images)

    samples = [read, read, write, find]
    found = predict_captions(
        predict,
        lambda ids: ('star', [(0, 4, 1)]),
        [one.lmm_inputs for one in samples],
        samples,
    )
    # Neighbours of one task share a batch.
    assert asked == [(2, False, False), (1, False, True), (1, True, True)]
    assert found[0].meta['points'][0] == pytest.approx([20, 20])
    assert not found[0].pred_masks.any() and len(found[0].pred_masks) == 2
    (caption,) = found[2].meta['captions']
    assert found[2].text == 'star' and caption['box_xyxy'] == pytest.approx([20, 20, 40, 40])
    assert caption['words'] == [{'text': 'star', 'point': pytest.approx([20, 20])}]
    assert len(found[3].meta['captions']) == 2


def test_points_and_masks_of_a_centred_image_come_back_too(prepare):
    made = prepare('narrative', centred=True)(narrated()).lmm_inputs
    inside = stack_captions([made])['inside'][0]
    assert inside[8:24].all() and inside.sum() == 16 * 32
    points = torch.zeros(1, made.tokens.shape[1], 2, 2)
    points[0, made.phrase_tokens[0, 1]] = torch.tensor([[8.0, 0], [16, 24]])
    # The first point lies above the image and is cut to it.
    assert locate_phrases(made, points)[1][0] == pytest.approx([20, 0, 40, 40])
    logits = torch.full((1, 8, 8), -9.0)
    logits[:, 2:4, :4] = 9.0  # the upper half of the image, its left half
    mask = masks_on_image(made, logits, (40, 80))[0]
    assert mask[:18, :36].all() and not mask[22:].any() and not mask[:, 42:].any()
