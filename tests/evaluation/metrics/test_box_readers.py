"""Where boxes are read: masks, text, a head."""

from dataclasses import replace

import pytest
import torch

from flmm.evaluation.metrics.box_readers import HeadBoxes, MaskBoxes, TextBoxes
from flmm.structures import (
    ConversationPrediction,
    GroundingPrediction,
    GroundingSample,
    LMMInputs,
    Phrase,
)


def sample_of(count, shape=(100, 200)):
    return GroundingSample('s', ori_shape=shape, phrases=[Phrase(str(i)) for i in range(count)])


def test_a_mask_s_box_is_around_its_pixels_and_an_empty_one_has_none():
    masks = torch.zeros(2, 6, 8, dtype=torch.bool)
    masks[0, 1, 2] = masks[0, 4, 6] = True
    prediction = GroundingPrediction(sample_of(2), masks, coarse_masks=~masks)
    # Behind the last pixel.
    assert MaskBoxes()(prediction) == [(2, 1, 7, 5), None]
    assert MaskBoxes('coarse_masks')(prediction) == [(0, 0, 8, 6), (0, 0, 8, 6)]
    with pytest.raises(ValueError, match='has none'):
        MaskBoxes('coarse_masks')(GroundingPrediction(sample_of(2), masks))
    with pytest.raises(ValueError, match='source'):
        MaskBoxes('boxes')


def test_the_first_box_of_an_answer_counts():
    text = 'one [0.100,0.100,0.500,0.500] and [0.000,0.000,0.100,0.100]'
    prediction = ConversationPrediction(sample_of(1), text)
    assert TextBoxes('normalised')(prediction) == [pytest.approx((20, 10, 100, 50))]
    # Of the square of side 200 that lies 50 rows above and below.
    square = TextBoxes('normalised_square')(prediction)[0]
    assert square == pytest.approx((20, 0, 100, 50))
    assert TextBoxes(tolerant=False)(ConversationPrediction(sample_of(1), 'none')) == [None]


def test_each_phrase_may_have_an_answer_of_its_own():
    answers = ['[0.000,0.000,0.500,1.000]', 'nothing']
    prediction = ConversationPrediction(sample_of(2), meta={'answers': answers})
    assert TextBoxes('normalised')(prediction) == [(0, 0, 100, 100), None]
    with pytest.raises(ValueError, match='2 phrases and one answer'):
        TextBoxes()(ConversationPrediction(sample_of(2), 'text'))
    with pytest.raises(ValueError, match='ori_shape'):
        TextBoxes()(ConversationPrediction(sample_of(1, shape=None), 'text'))


def test_a_head_s_boxes_are_plain_numbers():
    boxes = [torch.tensor([1.0, 2.0, 3.0, 4.0]), None]
    prediction = ConversationPrediction(sample_of(2), meta={'mine': boxes})
    assert HeadBoxes('mine')(prediction) == [(1.0, 2.0, 3.0, 4.0), None]
    with pytest.raises(ValueError, match='box head'):
        HeadBoxes()(prediction)


def test_result_files_say_how_boxes_were_read():
    assert 'strict' in TextBoxes('loc', tolerant=False).describe()
    assert 'pred_masks' in MaskBoxes().describe() and 'boxes_xyxy' in HeadBoxes().describe()


def test_pixels_of_the_resized_image_are_brought_back():
    sample = sample_of(1)
    inputs = LMMInputs(torch.zeros(1), torch.zeros(1), (), (100, 200), resized_shape=(50, 50))
    prediction = ConversationPrediction(replace(sample, lmm_inputs=inputs), '[5, 10, 25, 50]')
    # Four times as wide, twice as high.
    assert TextBoxes('pixels', frame='resized')(prediction) == [(20, 20, 100, 100)]
    assert TextBoxes('pixels')(prediction) == [(5, 10, 25, 50)]
    assert 'of the resized image' in TextBoxes('pixels', frame='resized').describe()
    with pytest.raises(ValueError, match='to what size'):
        TextBoxes('pixels', frame='resized')(ConversationPrediction(sample, '[1, 2, 3, 4]'))
    with pytest.raises(ValueError, match="dialect='pixels'"):
        TextBoxes('thousand', frame='resized')
