import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from flmm.visualization.word_traces import (
    PlacedWord,
    draw_frame,
    draw_frames,
    draw_strip,
    gif_bytes,
    trace_page,
    word_colour,
)

IMAGE = Image.new('RGB', (60, 40), (250, 250, 250))
WORDS = [
    PlacedWord('There'),
    PlacedWord('red', (15.0, 10.0)),
    PlacedWord('</script>', (45.0, 30.0)),
    PlacedWord('far', (float('inf'), 0.0)),
]


def colour_at(frame, x, y):
    return np.asarray(frame, dtype=int)[y, x]


def test_a_word_is_drawn_when_it_is_said():
    frames = draw_frames(IMAGE, WORDS, longer_side=120)
    assert len(frames) == 4 and len({frame.size for frame in frames}) == 1
    assert (colour_at(frames[0], 30, 20) == 250).all()
    assert np.abs(colour_at(frames[1], 30, 20) - word_colour(1, 4)).max() < 12
    # The trail leads from the first place to the second, half way at (30, 20) of the image.
    assert (colour_at(frames[1], 60, 40) == 250).all()
    assert np.abs(colour_at(frames[2], 60, 40) - word_colour(2, 4)).max() < 60
    # Nothing is drawn for a word without a usable place.
    assert draw_frame(IMAGE, WORDS, 4, 120).size == frames[0].size


def test_colours_run_from_blue_to_red():
    assert word_colour(0, 3) == (25, 103, 210) and word_colour(2, 3) == (214, 39, 40)
    assert word_colour(0, 1) == (25, 103, 210)


def test_the_strip_ends_with_the_whole_caption_and_the_gif_plays_all():
    strip = draw_strip(IMAGE, WORDS * 5, columns=3, max_frames=5, longer_side=60)
    frame = draw_frame(IMAGE, WORDS * 5, 20, 60)
    assert strip.width == 3 * (frame.width + 8) and strip.height == 2 * (frame.height + 8)
    with pytest.raises(ValueError, match='without words'):
        draw_strip(IMAGE, [])
    gif = Image.open(io.BytesIO(gif_bytes(draw_frames(IMAGE, WORDS, 60), seconds=0.2)))
    assert gif.format == 'GIF' and gif.info['loop'] == 0 and 3 <= gif.n_frames <= 4


def test_the_page_is_whole_and_no_word_ends_its_script():
    page = trace_page(IMAGE, WORDS[:3], 'a <title>')
    assert page.count('</script>') == 1 and 'a &lt;title&gt;' in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    rows = json.loads(re.search(r'const words = (\[.*?\]), size', page)[1])
    assert rows[2]['text'] == '</script>' and rows[0]['point'] is None
    assert rows[1]['point'] == [0.25, 0.25]
    with pytest.raises(ValueError, match='JSON'):
        trace_page(IMAGE, WORDS, 'infinite')
