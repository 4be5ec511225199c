import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from flmm.visualization import Panel, Word, caption_strip, make_sheet

RED = (214, 39, 40)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=6), st.integers(20, 400))
# The letters in front are wider than the others: a cut by their share of the letters is too wide.
@example(['0000::_mmII'], 103)
@example(['WWWWWWWWWWiiiiiiiiiiii'], 100)
def test_any_text_fits_its_strip(texts, width):
    strip = caption_strip([Word(text, RED) for text in texts], width)
    assert strip.width == width
    pixels = np.asarray(strip)
    # Nothing is cut at the right edge.
    if width > 60:
        assert (pixels[:, -3:] == 255).all()


def test_a_long_text_gets_more_lines():
    one, many = (caption_strip([Word('word ' * n)], 200).height for n in (2, 40))
    assert many > 3 * one


def test_words_have_their_colours():
    pixels = np.asarray(caption_strip([Word('plain'), Word('red', RED)], 200)).reshape(-1, 3)
    assert list(RED) in pixels.tolist()


@pytest.mark.parametrize(
    ('columns', 'size'), [(None, (340, 136)), (2, (230, 262)), (9, (340, 136))]
)
def test_pictures_stand_in_rows_of_columns(columns, size):
    # 3 pictures of 100x100, gap 10, titles 26 high.
    panels = [Panel(f'title {i}', Image.new('RGB', (100, 100))) for i in range(3)]
    assert make_sheet(panels, columns=columns).size == size


def test_captions_go_below():
    panels = [Panel('a', Image.new('RGB', (100, 100)))]
    plain, captioned = make_sheet(panels), make_sheet(panels, [[Word('x')], []])
    assert captioned.height > plain.height


def test_the_lines_of_a_conversation_stand_close_and_paragraphs_apart():
    panel = Panel('a', Image.new('RGB', (200, 50)))
    line = [Word('User: what?')]
    heights = [make_sheet([panel], [line] * count).height for count in (0, 1, 2, 3)]
    # 22 pixels a line of 15 pixels; 9 around a paragraph, 2 around one of many lines.
    assert [height - heights[0] for height in heights] == [0, 40, 80, 3 * 26]
