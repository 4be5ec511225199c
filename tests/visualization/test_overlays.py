import numpy as np
import pytest
from PIL import Image

from flmm.visualization import draw_attention, draw_masks, overlay_masks, phrase_colour
from flmm.visualization.overlays import resize_for_display

GREY = Image.new('RGB', (40, 30), (128, 128, 128))


def left_half():
    mask = np.zeros((1, 30, 40), dtype=bool)
    mask[0, :, :20] = True
    return mask


def test_a_mask_is_tinted_and_the_rest_is_left_alone():
    picture = np.asarray(overlay_masks(GREY, left_half(), [(255, 0, 0)], opacity=0.5))
    # Half grey 128, half red: (191.5, 64, 64).
    assert np.abs(picture[15, 8].astype(int) - (192, 64, 64)).max() <= 1
    assert picture[15, 35].tolist() == [128, 128, 128]


def test_the_outline_has_the_full_colour():
    picture = np.asarray(overlay_masks(GREY, left_half()))
    assert (picture == phrase_colour(0)).all(axis=-1).any()


def test_small_masks_stay_visible_on_large_ones():
    masks = np.concatenate([np.zeros((1, 30, 40), dtype=bool), np.ones((1, 30, 40), dtype=bool)])
    masks[0, 10:20, 10:20] = True
    picture = np.asarray(overlay_masks(GREY, masks, [(255, 0, 0), (0, 0, 255)]))
    assert picture[15, 15, 0] > picture[25, 30, 0]


def test_the_image_itself_is_not_changed():
    before = GREY.tobytes()
    overlay_masks(GREY, left_half())
    assert GREY.tobytes() == before


@pytest.mark.parametrize('size', [(40, 30), (2000, 1000), (3, 500), (1, 1)])
def test_any_image_is_drawn_at_the_wanted_size(size):
    image = Image.new('RGB', size)
    masks = np.ones((2, size[1], size[0]), dtype=bool)
    assert max(overlay_masks(image, masks, longer_side=320).size) == 320


def test_masks_of_another_size_are_refused():
    with pytest.raises(ValueError, match='30, 40'):
        overlay_masks(GREY, np.zeros((1, 40, 30), dtype=bool))


def test_words_stand_below_the_image_in_the_colours_of_the_masks():
    picture = np.asarray(draw_masks(GREY, left_half(), ['sky'], longer_side=200))
    strip = picture[150:].reshape(-1, 3).tolist()
    assert list(phrase_colour(0)) in strip
    assert picture.shape[1] == 200 and picture.shape[0] > 150


def test_as_many_labels_as_masks_are_needed():
    with pytest.raises(ValueError, match='1 masks'):
        draw_masks(GREY, left_half(), [])


def test_without_masks_the_image_comes_back():
    assert draw_masks(GREY, np.zeros((0, 30, 40), dtype=bool), []).tobytes() == GREY.tobytes()


def test_attention_is_brightest_in_its_cell():
    heat = np.zeros((3, 4))
    heat[1, 2] = 1
    # Cells are 10x10 pixels; the centre of cell (1, 2) is (25, 15).
    picture = np.asarray(draw_attention(GREY, heat)).sum(axis=-1)
    assert picture[14:16, 24:26].min() > picture[5, 5]
    assert np.unravel_index(picture.argmax(), picture.shape) in [
        (y, x) for y in (14, 15) for x in (24, 25)
    ]


def test_attention_of_a_padded_grid_lies_where_the_grid_does():
    # The grid covers 40x40 with 5 rows of padding above and below the image.
    heat = np.zeros((4, 4))
    heat[0, 0] = 1
    picture = np.asarray(draw_attention(GREY, heat, (0, -5, 40, 35))).sum(axis=-1)
    # The centre of cell (0, 0) is (5, 0) in the image.
    assert picture[0, 5] > picture[12, 5]


def test_an_even_map_is_drawn_without_dividing_by_zero():
    assert draw_attention(GREY, np.ones((2, 2))).size == GREY.size


def test_tiny_pictures_keep_their_pixels():
    image = Image.fromarray(np.array([[[0, 0, 0], [255, 255, 255]]], dtype=np.uint8))
    assert set(np.unique(np.asarray(resize_for_display(image, 100)))) == {0, 255}
