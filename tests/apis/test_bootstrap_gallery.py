"""Captions of one image of 100 x 80 grey pixels, whose boxes overlap by shares known by hand."""

import numpy as np
import pytest
from PIL import Image

from flmm.apis.bootstrap_gallery import Examples, draw_examples
from flmm.datasets.self_consistent import SelfConsistencyFilter

WHITE, GREY, GREEN, RED = (255, 255, 255), (128, 128, 128), (40, 150, 70), (200, 50, 50)
TRUTH = [10, 10, 50, 50]
# Found boxes and their IoU with TRUTH: 1200 of 1600 (0.75), 800 of 1600 (0.5), 400 of 1600 (0.25).
CLOSE, HALF, FAR = [10, 10, 50, 40], [10, 30, 50, 50], [30, 30, 50, 50]


def line(*boxes, name='a', truth=TRUTH):
    """A line of the generator; a box of None stands for a caption that led to none."""
    return {
        'id': name,
        'image_id': f'{name}.png',
        'anno': [{'bbox': truth} for _ in boxes],
        'pred': [
            {
                'object_id': index,
                'caption': f'thing {index}',
                'bbox': [0.0, 0.0, 1.0, 1.0] if box is None else box,
                'format_error': int(box is None),
            }
            for index, box in enumerate(boxes)
        ],
    }


def look(*lines, most=9):
    examples = Examples(SelfConsistencyFilter(), most)
    for one in lines:
        examples.look_at(one)
    return examples


def drawn(tmp_path, *lines, statistics=None, longer_side=None):
    Image.new('RGB', (100, 80), GREY).save(tmp_path / 'a.png')
    draw_examples(tmp_path / 'gallery', tmp_path, look(*lines), statistics or {}, longer_side)
    sheets = sorted((tmp_path / 'gallery/sheets').iterdir())
    page = (tmp_path / 'gallery/index.html').read_text()
    return [np.array(Image.open(sheet)) for sheet in sheets], page


def test_the_first_of_each_kind_are_taken_and_the_kept_ones_come_first():
    examples = look(line(FAR, CLOSE, None), line(HALF, CLOSE, FAR, name='b'), most=2)
    found = [(kept, one['id'], caption['object_id']) for kept, one, caption in examples]
    assert found == [(True, 'a', 1), (True, 'b', 0), (False, 'a', 0), (False, 'a', 2)]


def colour_at(sheet, x, y):
    return tuple(int(value) for value in sheet[y, x])


@pytest.mark.parametrize(('box', 'colour'), [(CLOSE, GREEN), (FAR, RED)])
def test_the_object_is_white_and_what_was_found_has_the_colour_of_the_verdict(
    tmp_path, box, colour
):
    (sheet,), page = drawn(tmp_path, line(box))
    assert sheet.shape == (80, 100, 3)
    # Two pixels of the found box's outline over four of the object's.
    x1, y1 = box[2], box[3]
    assert colour_at(sheet, x1, y1) == colour_at(sheet, x1 - 1, y1 - 1) == colour
    assert colour_at(sheet, 10, 48) == colour_at(sheet, 13, 45) == WHITE
    assert colour_at(sheet, 14, 45) == colour_at(sheet, 60, 60) == GREY
    assert f'rgb({",".join(map(str, colour))})' in page and 'thing 0' in page
    assert f'data-group="{"kept" if colour == GREEN else "rejected"}"' in page


def test_small_images_are_drawn_larger_and_boxes_with_them(tmp_path):
    (sheet,), _ = drawn(tmp_path, line(FAR), longer_side=400)
    assert sheet.shape == (320, 400, 3)
    # Four times as large: the object from 40 to 200, what was found from 120 to 200.
    assert colour_at(sheet, 40, 100) == colour_at(sheet, 43, 100) == WHITE
    assert colour_at(sheet, 120, 160) == colour_at(sheet, 121, 160) == RED
    assert colour_at(sheet, 44, 100) == colour_at(sheet, 122, 160) == GREY


def test_a_caption_that_led_nowhere_has_no_second_box(tmp_path):
    (sheet,), page = drawn(tmp_path, line(None))
    colours = {tuple(map(int, pixel)) for pixel in sheet.reshape(-1, 3)}
    assert colours == {WHITE, GREY}
    assert 'led to no box' in page


def test_boxes_with_exchanged_corners_are_drawn(tmp_path):
    (sheet,), _ = drawn(tmp_path, line([70, 60, 55, 52], truth=[50, 50, 10, 10]))
    assert colour_at(sheet, 55, 60) == colour_at(sheet, 70, 52) == RED
    assert colour_at(sheet, 50, 10) == WHITE


def test_an_image_that_went_away_costs_its_picture_alone(tmp_path):
    sheets, page = drawn(tmp_path, line(CLOSE, name='gone'), line(CLOSE))
    assert len(sheets) == 1
    assert 'gone object 0' in page and 'gone.png: no such file' in page


def test_the_statistics_stand_above_counts_as_whole_numbers(tmp_path):
    statistics = {'captions': 12, 'kept_share': 0.75, 'words_per_caption': float('nan')}
    _, page = drawn(tmp_path, line(CLOSE), statistics=statistics)
    for name, value in (('captions', '12'), ('kept_share', '0.75'), ('words_per_caption', '–')):
        assert f'<tr><th>bootstrap/{name}</th><td>{value}</td></tr>' in page
