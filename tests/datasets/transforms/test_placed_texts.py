"""Kinds of annotation -> texts about places; what the tensors of them are is in test_captions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flmm.datasets.transforms.placed_texts import (
    SOURCES,
    PlacedText,
    SpokenPhrase,
    answers,
    caption,
    expressions,
    last_region,
    narrative,
    regions,
)
from flmm.structures import GroundingSample, Phrase, Region, TextPiece, Turn
from flmm.utils.errors import AnnotationError


def sample(**fields):
    return GroundingSample('s', ori_shape=(40, 80), **fields)


@given(
    texts=st.lists(st.text(alphabet='ab .', max_size=4), max_size=6),
    joint=st.booleans(),
    data=st.data(),
)
def test_spans_of_a_narrative_cut_out_its_phrases(texts, joint, data):
    owners = [data.draw(st.integers(-1, 2)) for _ in texts]
    pieces = [TextPiece(text, owner) for text, owner in zip(texts, owners, strict=True)]
    phrases = [Phrase('first'), Phrase('second'), Phrase('third')]
    told = sample(pieces=pieces, phrases=phrases, joint_tokens=joint)
    [found] = narrative(told)
    assert found.text == told.text and found.place_xyxy is None
    assert [(p.index, found.text[slice(*p.span)]) for p in found.phrases] == [
        (piece.phrase, piece.text) for piece in pieces if piece.phrase >= 0 and piece.text
    ]


def test_traces_of_a_narrative_are_in_pixels_and_may_be_missing():
    pieces = [TextPiece('a dog', 0), TextPiece('beside'), TextPiece('it', 0), TextPiece('grass', 1)]
    phrases = [Phrase('a dog', meta={'box': [0.25, 0.5, 0.5, 1.0]}), Phrase('grass')]
    # 80 wide, 40 high.
    trace = (20.0, 20.0, 40.0, 40.0)
    assert narrative(sample(pieces=pieces, phrases=phrases)) == [
        PlacedText(
            'a dog beside it grass',
            phrases=(
                SpokenPhrase(0, (0, 5), trace),
                SpokenPhrase(0, (13, 15), trace),
                SpokenPhrase(1, (16, 21)),
            ),
        )
    ]


def test_an_expression_is_all_of_its_text_and_means_box_and_mask():
    masks = np.zeros((2, 40, 80), dtype=bool)
    masks[1, 0, 3] = True
    phrases = [Phrase('left', meta={'box_xyxy': [1, 2, 3, 4]}), Phrase('the sky')]
    first, second = expressions(sample(phrases=phrases, gt_masks=masks))
    assert (first.text, first.refers_to, first.place_xyxy) == ('left', (1.0, 2.0, 3.0, 4.0), None)
    assert (second.text, second.refers_to) == ('the sky', None)
    assert [text.phrases for text in (first, second)] == [
        (SpokenPhrase(0, (0, 4)),),
        (SpokenPhrase(1, (0, 7)),),
    ]
    assert np.argwhere(second.mask).tolist() == [[0, 3]] and not first.mask.any()
    assert [text.mask for text in expressions(sample(phrases=phrases))] == [None, None]


def test_regions_are_places_in_pixels_whatever_they_are_given_in():
    boxes = [
        Region((1, 2, 3, 4), meta={'caption': 'a dot'}),
        Region((0.25, 0.5, 0.5, 1.0), relative=True),
    ]
    found = regions(sample(regions=boxes))
    assert found == [
        PlacedText('a dot', place_xyxy=(1.0, 2.0, 3.0, 4.0)),
        PlacedText('', place_xyxy=(20.0, 20.0, 40.0, 40.0)),
    ]
    assert last_region(sample(regions=boxes)) == found[1:]
    assert regions(sample()) == last_region(sample()) == []


def test_a_region_without_a_box_is_an_error():
    with pytest.raises(AnnotationError, match='no box'):
        regions(sample(regions=[Region(None, points=((1, 2),))]))


def test_any_of_the_captions_is_drawn_and_the_generator_decides():
    told = sample(meta={'references': ['one', 'two', 'three']})

    def draw():
        torch.manual_seed(3)
        return [caption(told) for _ in range(60)]

    drawn = draw()
    assert {text.text for [text] in drawn} == {'one', 'two', 'three'}
    assert draw() == drawn


def test_every_answer_has_its_own_question_before_it():
    turns = [
        Turn('<image>\nwhat is there?', 'a star'),
        Turn('open', None),
        Turn(' and <image> here ', 'grass', supervised=False),
        Turn('empty', ''),
    ]
    assert answers(sample(turns=turns)) == [
        PlacedText('a star', context='what is there?'),
        PlacedText('grass', context='and  here'),
    ]


def test_sources_are_named_as_configs_name_them():
    told = sample(meta={'references': ['one']}, turns=[Turn('q', 'a')], phrases=[Phrase('p')])
    texts = {name: [text.text for text in find(told)] for name, find in SOURCES.items()}
    assert texts == {
        'narrative': [''],
        'expressions': ['p'],
        'regions': [],
        'last_region': [],
        'caption': ['one'],
        'answers': ['a'],
    }
