import numpy as np
import pytest
import torch
from PIL import Image

from flmm.datasets.transforms import PrepareCaptions
from flmm.structures import GroundingSample, Phrase, Region, SkippedSample, TextPiece, Turn


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


def test_words_of_a_narrative_have_the_corners_of_their_trace(prepare, tiny_tokenizer):
    made = prepare('narrative', context='Describe')(narrated()).lmm_inputs
    ids = made.tokens[0].tolist()
    assert ids[0] == 1 and ids[-1] == 2
    assert tiny_tokenizer.decode(ids[1:-1]) == 'a red on grass'
    # The canvas is 32 wide and holds the image of 80 x 40 as 32 x 16.
    assert made.content_shape == (16, 32) and made.scale == (0.4, 0.4)
    assert (made.pixels[:, :16] == 200).all() and (made.pixels[:, 16:] == 0).all()
    assert made.prompt_boxes.tolist() == [[0, 0, 32, 16]]
    for row, corners in ((0, [[8, 8], [16, 16]]), (1, [[16, 0.5], [32, 4]])):
        column = int(made.phrase_tokens[row, 1])
        assert made.gt_points[0, column].tolist() == corners
    assert made.phrase_tokens[:, 0].tolist() == [0, 0]
    # Begin and end have none; "on" neither.
    assert (made.gt_points[0].flatten(1) > 0).any(1).sum() < len(ids) - 2
    assert tiny_tokenizer.decode(made.context[0]) == 'Describe'
    assert made.gt_boxes is None and not made.detect


def test_the_speaking_token_is_the_last_of_the_word(prepare, tiny_tokenizer):
    made = prepare('narrative')(narrated()).lmm_inputs
    row, column = made.phrase_tokens[1].tolist()
    ids = made.tokens[row].tolist()
    assert column == len(ids) - 2  # before the end: "grass" is the last word
    assert tiny_tokenizer.decode(ids[1 : column + 1]).endswith('grass')


def test_expressions_mean_their_boxes_and_masks(prepare):
    masks = np.zeros((2, 40, 80), dtype=bool)
    masks[0, 20:40, 20:40], masks[1, :10, :] = True, True
    phrases = [
        Phrase('red', meta={'box_xyxy': [20, 20, 40, 40]}),
        Phrase('the sky', meta={'box_xyxy': [0, 0, 80, 10]}),
    ]
    made = prepare('expressions', context='Where is {text}?')(
        sample(phrases=phrases, gt_masks=masks)
    ).lmm_inputs
    assert made.gt_boxes.tolist() == [[8, 8, 16, 16], [0, 0, 32, 4]]
    assert made.gt_masks[0].nonzero().amin(0).tolist() == [8, 8]
    assert int(made.gt_masks[0].sum()) == 64 and int(made.gt_masks[1].sum()) == 32 * 4
    assert (made.prompt_boxes == torch.tensor([0.0, 0, 32, 16])).all() and made.gt_points is None
    # Last token of each expression.
    for row, column in made.phrase_tokens.tolist():
        assert made.tokens[row, column + 1] == 2


def test_regions_are_places_and_may_be_asked_for(prepare):
    regions = [
        Region((0, 0, 40, 40), meta={'caption': 'a red circle'}),
        Region((0.5, 0.5, 1.0, 1.0), relative=True, meta={'caption': 'a star'}),
    ]
    made = prepare('regions')(sample(regions=regions)).lmm_inputs
    assert made.prompt_boxes.tolist() == [[0, 0, 16, 16], [16, 8, 32, 16]]
    assert made.detect and made.tokens.shape[1] > 2
    asked = prepare('last_region', task='write')(sample(regions=regions)).lmm_inputs
    assert asked.tokens.tolist() == [[1, 2]] and asked.task == 'write' and len(asked.tokens) == 1
    found = prepare('regions', task='detect', context='what')(sample(regions=regions)).lmm_inputs
    assert found.tokens.tolist() == [[1, 2]] * 2 and found.context is not None


def test_captions_and_conversations(prepare, tiny_tokenizer):
    made = prepare('caption')(sample(meta={'references': ['a star']})).lmm_inputs
    assert tiny_tokenizer.decode(made.tokens[0, 1:-1]) == 'a star'
    turns = [Turn('<image>\nwhat is there', 'a star'), Turn('open', None)]
    made = prepare('answers', context='{context} :', end_context=True)(sample(turns=turns))
    made = made.lmm_inputs
    assert len(made.tokens) == 1 and made.context[0, -1] == 2
    assert tiny_tokenizer.decode(made.context[0, :-1]) == 'what is there :'
    with pytest.raises(ValueError, match='source'):
        prepare('poems')
    with pytest.raises(ValueError, match='scale_range'):
        prepare('caption', scale_range=(0.0, 1.0))
    item = prepare('caption')(sample())
    assert isinstance(item, SkippedSample) and item.reason == 'annotation_invalid'
    assert 'no caption' in item.detail
    assert prepare('answers')(sample(turns=turns[1:])).reason == 'no_phrase'


def test_long_texts_are_cut_and_many_are_drawn(prepare):
    words = 'red ' * 50
    phrases = [Phrase(f'{words} star', meta={'box_xyxy': [0, 0, 9, 9]}) for _ in range(5)]
    made = prepare('expressions', max_tokens=8, max_texts=2)(sample(phrases=phrases)).lmm_inputs
    assert made.tokens.shape == (2, 8) and (made.tokens[:, -1] == 2).all()
    seen = made.phrase_tokens[:, 0] >= 0
    assert int(seen.sum()) == 2  # located by the last token that is left


def test_a_random_size_moves_boxes_and_drops_what_is_cut_off(prepare):
    phrases = [Phrase('all', meta={'box_xyxy': [0, 0, 80, 40]})] + [
        Phrase('left', meta={'box_xyxy': [0, 0, 4, 40]}),
        Phrase('right', meta={'box_xyxy': [76, 0, 80, 40]}),
    ]
    torch.manual_seed(0)
    for _ in range(20):
        made = prepare('expressions', scale_range=(1.5, 2.0))(sample(phrases=phrases)).lmm_inputs
        assert made.content_shape[1] == 32 and made.scale[0] > 0.59
        back = made.to_original(made.gt_boxes)
        left, right = back[:, 0].min(), back[:, 2].max()
        assert left == pytest.approx(made.offset[0] / made.scale[0], abs=1e-3) or left == 0
        assert right - left <= 32 / made.scale[0] + 1e-3
        # Of the two narrow boxes at most one can be on a canvas of two thirds of the width.
        assert 1 <= len(made.tokens) <= 2


def test_an_image_may_lie_in_the_middle_of_the_canvas(prepare):
    masks = np.zeros((1, 40, 80), dtype=bool)
    masks[0, 20:40, 20:40] = True
    phrases = [Phrase('red', meta={'box_xyxy': [20, 20, 40, 40]})]
    made = prepare('expressions', centred=True)(sample(phrases=phrases, gt_masks=masks)).lmm_inputs
    # 32 x 16 pixels of 32 x 32: 8 rows above it and 8 below.
    assert made.origin == (0, 8) and made.offset == (0, -8) and made.content_shape == (16, 32)
    assert (made.pixels[:, 8:24] == 200).all() and made.pixels.sum() == 200 * 3 * 16 * 32
    assert made.gt_boxes.tolist() == [[8, 16, 16, 24]]
    assert made.prompt_boxes.tolist() == [[0, 8, 32, 24]]
    assert made.gt_masks[0].nonzero().amin(0).tolist() == [16, 8] and made.gt_masks.sum() == 64
    assert made.to_original(made.gt_boxes).tolist() == [[20, 20, 40, 40]]
    # No reference keeps four zeros, which a place in the middle never has.
    both = prepare('expressions', centred=True)(sample(phrases=[*phrases, Phrase('x')])).lmm_inputs
    assert both.gt_boxes[1].tolist() == [0, 0, 0, 0]


def test_a_larger_image_in_the_middle_is_cut_all_the_same(prepare):
    torch.manual_seed(0)
    regions = [Region((0, 0, 80, 40), meta={'caption': 'all'})]
    made = prepare('regions', centred=True, scale_range=(1.5, 1.5))(sample(regions=regions))
    made = made.lmm_inputs
    # 48 x 24: cut to 32 columns, 4 rows above and below.
    assert made.content_shape == (24, 32) and made.origin == (0, 4)
    assert made.prompt_boxes.tolist() == [[0, 4, 32, 28]] and made.offset[1] == -4
    assert (made.pixels[:, 4:28] == 200).all() and (made.pixels[:, :4] == 0).all()
