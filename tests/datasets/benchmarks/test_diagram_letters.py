"""Letters on green diagrams: where they lie, how large they are, what stays."""

import json

import numpy as np
import pytest
from PIL import Image

from flmm.datasets.benchmarks.diagram_letters import LARGEST, SMALLEST, draw_letters, read_letters
from flmm.utils.errors import AnnotationError, InputFileError

GREEN = (0, 128, 0)


def label(text, *corners):
    return {'rectangle': [list(corners[:2]), list(corners[2:])], 'replacementText': text}


def written(tmp_path, content):
    path = tmp_path / '1.png.json'
    path.write_text(json.dumps(content))
    return path


def drawn(*letters, size=(200, 150)):
    return np.asarray(draw_letters(Image.new('RGB', size, GREEN), list(letters))).astype(int)


def not_green(pixels):
    return (pixels != GREEN).any(2)


def ink(pixels, box):
    """Extent ``x0, y0, x1, y1`` of what is darker than grey inside a white rectangle."""
    x0, y0, x1, y1 = box
    rows, columns = np.nonzero(pixels[y0 : y1 + 1, x0 : x1 + 1].max(2) < 128)
    return x0 + columns.min(), y0 + rows.min(), x0 + columns.max(), y0 + rows.max()


def test_labels_are_read_in_order_whatever_corners_they_name(tmp_path):
    labels = {
        'T1': label('A', 30, 5, 10, 25),  # upper right and lower left
        'T0': label('B', 1.9, 2.2, 7.5, 8),  # cut to whole pixels
        'T2': label(3, 0, 0, 4, 4),  # a number is a name, too
    }
    path = written(tmp_path, {'text': labels, 'arrows': {}})
    assert read_letters(path) == [['A', 10, 5, 30, 25], ['B', 1, 2, 7, 8], ['3', 0, 0, 4, 4]]
    assert read_letters(written(tmp_path, {'text': {}})) == []


@pytest.mark.parametrize(
    'content',
    [
        [],
        {'blobs': {}},
        {'text': [label('A', 0, 0, 1, 1)]},
        {'text': {'T0': label('A', 0, 0, 1)}},
        {'text': {'T0': label('A', 0, 0, 1, 'x')}},
        {'text': {'T0': label('A', 0, 0, 1, float('inf'))}},
        {'text': {'T0': label('A', 0, 0, 1, float('nan'))}},
        {'text': {'T0': {'rectangle': [[0, 0], [1, 1]]}}},
    ],
)
def test_what_tells_no_letters_is_refused_with_the_form_it_should_have(tmp_path, content):
    path = written(tmp_path, content)
    with pytest.raises(AnnotationError, match='replacementText') as caught:
        read_letters(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputFileError, match=r'none\.json: no such file'):
        read_letters(tmp_path / 'none.json')


def test_a_letter_fills_its_rectangle_and_nothing_beside_it():
    boxes = {'A': (20, 30, 80, 70), 'C': (120, 10, 140, 140)}
    pixels = drawn(*([letter, *box] for letter, box in boxes.items()))
    covered = np.zeros((150, 200), bool)
    for x0, y0, x1, y1 in boxes.values():
        covered[y0 : y1 + 1, x0 : x1 + 1] = True
    assert np.array_equal(not_green(pixels), covered)
    for box in boxes.values():
        x0, y0, x1, y1 = ink(pixels, box)
        # The tighter side bounds it: 41 rows for A, 21 columns for C; one size more is about a
        # pixel, and the font's own margins are taken into account.
        share = max((x1 - x0 + 1) / (box[2] - box[0]), (y1 - y0 + 1) / (box[3] - box[1]))
        assert 0.7 < share <= 1.05
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        assert abs(middle[0] - (box[0] + box[2]) / 2) <= 2
        assert abs(middle[1] - (box[1] + box[3]) / 2) <= 0.1 * (box[3] - box[1]) + 1


def test_a_larger_rectangle_has_a_larger_letter_up_to_the_largest():
    heights = []
    for side in (12, 24, 48, 96, 300, 400):
        box = (0, 0, side, side)
        _, y0, _, y1 = ink(drawn(['H', *box], size=(401, 401)), box)
        heights.append(y1 - y0 + 1)
    assert heights[:4] == sorted(set(heights[:4]))
    # An H of DejaVu Sans is 1493 of 2048 units high.
    assert heights[4] == heights[5] and abs(heights[5] - LARGEST * 1493 / 2048) <= 1


def test_in_a_rectangle_too_small_for_any_letter_it_can_still_be_read():
    pixels = drawn(['H', 50, 50, 52, 52])
    dark = pixels.max(2) < 100
    rows, _ = np.nonzero(dark & (np.indices(dark.shape)[1] > 40))
    assert abs(np.ptp(rows) + 1 - SMALLEST * 1493 / 2048) <= 1.5


@pytest.mark.parametrize('mode', ['L', 'P', 'RGBA', 'CMYK'])
def test_any_diagram_is_taken_and_stays_as_it_was(mode):
    image = Image.new(mode, (40, 30))
    before = image.tobytes()
    shown = draw_letters(image, [['A', 5, 5, 25, 25]])
    assert shown.mode == 'RGB' and shown.size == (40, 30)
    assert shown.getpixel((5, 5)) == (255, 255, 255)
    assert image.mode == mode and image.tobytes() == before


def test_an_rgb_diagram_is_not_drawn_on():
    image = Image.new('RGB', (40, 30), GREEN)
    assert draw_letters(image, [['A', 5, 5, 25, 25]]).getpixel((5, 5)) == (255, 255, 255)
    assert image.getpixel((5, 5)) == GREEN


def test_of_labels_that_overlap_the_later_one_is_on_top():
    pixels = drawn(['M', 10, 10, 60, 60], ['I', 30, 10, 60, 60])
    # Of the wide M only its left part is left; the thin I leaves its rectangle's corners white.
    assert (pixels[10:61, 31:36] == 255).all()
    assert (pixels[10:61, 10:30].max(2) < 128).any()
