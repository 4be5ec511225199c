"""100,000 strings through the parser of boxes: it never raises and runs nothing."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flmm.utils import box_codec, box_text
from flmm.utils.box_codec import BoxCodec
from flmm.utils.box_text import BOX_DIALECTS

COUNT = 100_000
DIALECTS = ['auto', *sorted(BOX_DIALECTS)]
NUMBER = st.one_of(
    st.floats(0, 1).map('{:.3f}'.format),
    st.integers(-2, 2000).map(str),
    st.sampled_from(['.5', '0.', '-0.000', '1e5', 'nan', 'inf', '0,5', '9' * 400, '٣', '']),
)
SEPARATOR = st.sampled_from([',', ', ', ' ', ';', '),(', '><', '\n', ''])
BRACKETS = st.sampled_from(['[]', '()', '{}', '<>', '[', ']', '', '[[]]', '<box>(', '{<'])
CODE = st.sampled_from(
    ['__import__("os").abort()', '[0.1,exit(),0.5,0.6]', '{0.__class__}', 'os.system("x")', '%s%n']
)


@st.composite
def almost_boxes(draw):
    """What a model may write when it tries to write a box."""
    numbers = draw(st.lists(NUMBER, min_size=1, max_size=9))
    text = draw(SEPARATOR).join(numbers)
    brackets = draw(BRACKETS)
    half = len(brackets) // 2
    return draw(st.text(max_size=9)) + brackets[:half] + text + brackets[half:]


@st.composite
def damaged_boxes(draw):
    """A box as some dialect writes it, with up to three characters changed, added or lost."""
    left, top = draw(st.integers(0, 60)), draw(st.integers(0, 60))
    box = (left, top, left + draw(st.integers(1, 40)), top + draw(st.integers(1, 40)))
    text = BoxCodec(draw(st.sampled_from(sorted(BOX_DIALECTS)))).box_text(box, (100, 100))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.text(max_size=1)) + text[place + draw(st.integers(0, 1)) :]
    return text


TEXTS = st.one_of(
    damaged_boxes(),
    st.builds(' '.join, st.lists(damaged_boxes(), min_size=1, max_size=4)),
    st.text(max_size=200),
    st.text('0123456789.,-+eE[](){}<>locbx/ \n', max_size=200),
    almost_boxes(),
    st.builds(' '.join, st.lists(st.one_of(almost_boxes(), CODE), max_size=4)),
)


@pytest.fixture
def nothing_runs(monkeypatch):
    """Code that is run fails the test."""

    def run(*args, **kwargs):
        raise AssertionError(f'the parser ran code: {args!r:.80}')

    # Names of the modules come before the built-in ones.
    for module in (box_codec, box_text):
        for name in ('eval', 'exec', 'compile', '__import__', 'getattr'):
            monkeypatch.setattr(module, name, run, raising=False)


# A text that takes a second is a way to stop an evaluation; what is usual takes microseconds.
@settings(
    max_examples=COUNT,
    deadline=1000,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(TEXTS, st.sampled_from(DIALECTS), st.integers(1, 5000), st.integers(1, 5000), st.booleans())
def check(seen, text, dialect, height, width, tolerant):
    codec = BoxCodec(dialect, tolerant)
    boxes = codec.read_boxes(text, (height, width))
    for x0, y0, x1, y1 in boxes:
        assert all(map(math.isfinite, (x0, y0, x1, y1)))
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
    for x, y in codec.read_points(text, (height, width)):
        assert 0 <= x <= width and 0 <= y <= height
    seen['texts'] += 1
    seen['with boxes'] += bool(boxes)


@pytest.mark.timeout(7200)
def test_100_000_strings_give_boxes_inside_the_image_or_none(nothing_runs):
    seen = {'texts': 0, 'with boxes': 0}
    check(seen)
    print(seen)
    assert seen['texts'] >= COUNT
    # Both outcomes were tried often.
    assert COUNT / 20 < seen['with boxes'] < COUNT * 19 / 20
