import numpy as np
import pytest
import torch
from PIL import Image

from flmm.structures import GroundingPrediction, GroundingSample, Phrase, TextPiece
from flmm.visualization import draw_prediction, draw_sample, phrase_colour
from flmm.visualization.samples import sample_words


def sample(with_image=True):
    masks = np.zeros((2, 20, 30), dtype=bool)
    masks[0, :10], masks[1, 12:] = True, True
    return GroundingSample(
        'a',
        image=Image.new('RGB', (30, 20)) if with_image else None,
        ori_shape=(20, 30),
        pieces=[TextPiece('see'), TextPiece('the sky', 0), TextPiece('and'), TextPiece('sea', 1)],
        phrases=[Phrase('the sky'), Phrase('sea')],
        gt_masks=masks,
    )


def test_phrases_have_the_colour_of_their_mask():
    words = sample_words(sample())
    assert [word.colour for word in words] == [None, phrase_colour(0), None, phrase_colour(1)]


def test_a_sheet_has_a_picture_per_stage():
    masks = torch.from_numpy(sample().gt_masks)
    two = draw_sample(sample(), side=100)
    three = draw_prediction(GroundingPrediction(sample(), masks), side=100)
    four = draw_prediction(GroundingPrediction(sample(), masks, masks), [0.5, 1.0], side=100)
    # Pictures of 100 pixels, gap 10.
    assert [sheet.width for sheet in (two, three, four)] == [230, 340, 450]


def test_a_sample_without_masks_or_text_is_still_drawn():
    bare = GroundingSample('a', image=Image.new('RGB', (30, 20)))
    assert draw_sample(bare, side=100).width == 120


def test_phrases_with_a_box_alone_show_it_as_ground_truth():
    boxed = GroundingSample('a', image=Image.new('RGB', (30, 20)), ori_shape=(20, 30))
    boxed.phrases = [Phrase('the sky', meta={'box_xyxy': [0, 0, 30, 10]})]
    assert draw_sample(boxed, side=100).width == 230
    no_masks = torch.zeros(0, 20, 30, dtype=torch.bool)
    written = GroundingPrediction(boxed, no_masks, text='up there')
    assert draw_prediction(written, side=100).width == 230
    assert draw_prediction(written, side=100, boxes=[None]).width == 340


def test_a_sample_without_image_says_what_is_missing():
    with pytest.raises(ValueError, match='LoadImage'):
        draw_sample(sample(with_image=False))
