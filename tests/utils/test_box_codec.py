import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmm.utils.box_codec import BoxCodec
from flmm.utils.box_text import BOX_DIALECTS
from flmm.utils.marks import MARK_TOKENS, marked

SHAPE = (100, 200)


@pytest.mark.parametrize(
    ('dialect', 'text'),
    [
        ('normalised', '[0.100,0.200,0.500,0.700]'),
        ('thousand', '<box>(100,200),(500,700)</box>'),
        ('loc', '<loc0205><loc0102><loc0717><loc0512>'),
        ('hundred', '{<10><20><50><70>}'),
        ('pixels', '[20, 20, 100, 70]'),
    ],
)
def test_dialects_write_and_read_the_same_box(dialect, text):
    codec = BoxCodec(dialect)
    assert codec.box_text((20, 20, 100, 70), SHAPE) == text
    (box,) = codec.read_boxes(text, SHAPE)
    assert box == pytest.approx((20, 20, 100, 70), abs=0.2)


def test_a_point_and_a_box_outside_the_image_are_written_as_the_release_does():
    codec = BoxCodec()
    assert codec.point_text((40, 45), (150, 200)) == '[0.200,0.300]'
    assert codec.box_text((200, 5, 250, 19), (100, 200)) == '[1.000,0.050,1.250,0.190]'
    assert codec.box_text((-0.01, 0, 100, 50), SHAPE) == '[0.000,0.000,0.500,0.500]'


def corners():
    side = st.integers(0, 1000)
    return st.tuples(side, side, side, side).filter(lambda v: v[0] < v[2] and v[1] < v[3])


@given(corners(), st.integers(1, 5000), st.integers(1, 5000))
def test_text_of_three_decimals_survives_the_way_there_and_back(steps, height, width):
    codec = BoxCodec()
    text = f'[{",".join(f"{step / 1000:.3f}" for step in steps)}]'
    (box,) = codec.read_boxes(text, (height, width))
    assert codec.box_text(box, (height, width)) == text


@given(corners(), st.integers(1, 5000), st.integers(1, 5000))
@settings(max_examples=50)
def test_a_box_comes_back_within_half_a_step(steps, height, width):
    # Boxes of at least two steps, so that none vanishes.
    x0, y0, x1, y1 = (s * size / 1000 for s, size in zip(steps, 2 * (width, height), strict=True))
    if x1 - x0 < width / 200 or y1 - y0 < height / 200:
        return
    for dialect, step in (('normalised', 1000), ('thousand', 1000), ('loc', 1024)):
        codec = BoxCodec(dialect)
        (box,) = codec.read_boxes(
            codec.box_text((x0, y0, x1, y1), (height, width)), (height, width)
        )
        for value, own, size in zip(box, (x0, y0, x1, y1), 2 * (width, height), strict=True):
            # PaliGemma's largest token is 1023 of 1024.
            assert abs(value - own) <= size * (1.01 if dialect == 'loc' else 0.501) / step


@pytest.mark.parametrize(
    'text',
    [
        '[0.5,0.7,0.1,0.2]',  # swapped corners
        '[.1, .2, .5, .7]',  # missing zeros
        '[100,200,500,700]',  # whole thousandths
        'box: 0.100 0.200 0.500 0.700',  # no brackets
        '(0.1, 0.2) to (0.5, 0.7)',  # two corners
        'It is at [0.100;0.200;0.500;0.700].',
        '[0.100,0.200,0.500,0.700',  # never closed
    ],
)
def test_careless_writing_is_understood(text):
    (box,) = BoxCodec().read_boxes(text, SHAPE)
    assert box == pytest.approx((20, 20, 100, 70))


@pytest.mark.parametrize(
    'text',
    ['', 'I cannot find it', '2 dogs, 3 cats, 1 man, 5 cars', '[0.1,0.2,0.5]', '[5000,1,2,3]',
     '[0.3,0.3,0.3,0.3]', '__import__("os")', '[nan,nan,nan,nan]', '[1e999,0,1,1]'],
)  # fmt: skip
def test_nonsense_is_explicitly_no_box(text):
    assert BoxCodec().read_boxes(text, SHAPE) == []


@pytest.mark.parametrize('dialect', ['normalised', 'normalised_square'])
def test_whole_thousandths_from_the_corner_are_not_the_whole_image(dialect):
    codec = BoxCodec(dialect)
    assert codec.read_boxes('[0,0,300,400]', (1000, 1000)) == [(0, 0, 300, 400)]
    # Of shares a box may reach over the border; nothing else is read into it.
    assert codec.read_boxes('[0.2,0.3,1.8,5.0]', (100, 100)) == [(20, 30, 100, 100)]
    # Each box has its own unit, and none is lost for another's sake.
    both = codec.read_boxes('[0.2,0.3,1.8,5.0] and [0,0,300,400]', (100, 100))
    assert both == [(20, 30, 100, 100), (0, 0, 30, 40)]


def test_several_boxes_keep_their_order():
    text = '[0.100,0.100,0.200,0.200] a cat [0.500,0.500,0.600,0.600]'
    assert len(BoxCodec().read_boxes(text, SHAPE)) == 2
    assert BoxCodec(tolerant=False).read_boxes('0.1 0.2 0.5 0.7', SHAPE) == []


LIKELY = st.text('0123456789.,-+eE[](){}<>locbx/ \n', max_size=80)


@given(st.one_of(st.text(max_size=80), LIKELY), st.sampled_from(['auto', *BOX_DIALECTS]))
@settings(max_examples=600)
def test_any_text_gives_finite_boxes_inside_the_image_or_none(text, dialect):
    codec = BoxCodec(dialect)
    for x0, y0, x1, y1 in codec.read_boxes(text, SHAPE):
        assert all(map(math.isfinite, (x0, y0, x1, y1)))
        assert 0 <= x0 < x1 <= 200 and 0 <= y0 < y1 <= 100
    for x, y in codec.read_points(text, SHAPE):
        assert 0 <= x <= 200 and 0 <= y <= 100


def test_points_are_read():
    assert BoxCodec().read_points('here [0.200,0.300]', (150, 200)) == [(40.0, 45.0)]


def test_wrong_dialects_and_boxes_are_errors():
    with pytest.raises(ValueError, match='dialect'):
        BoxCodec('klingon')
    with pytest.raises(ValueError, match='reads only'):
        BoxCodec('auto').box_text((0, 0, 1, 1), SHAPE)
    with pytest.raises(ValueError, match='finite'):
        BoxCodec().box_text((0, 0, math.nan, 1), SHAPE)


def test_marks_come_in_the_releases_order():
    assert MARK_TOKENS[:4] == ('<des>', '</des>', '<loc>', '</loc>') and len(MARK_TOKENS) == 12
    assert marked('qes', 'why?') == '<qes>why?</qes>'
    with pytest.raises(ValueError, match='mark'):
        marked('box', '')
