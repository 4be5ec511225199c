import numpy as np
from PIL import Image

from flmm.structures import GroundingSample, PanopticMap, Segment
from flmm.visualization import draw_crayon, draw_sample

GREY = Image.new('RGB', (80, 40), (128, 128, 128))
IDS = np.array([[70000, 70000, 0, 5]])


def test_segments_of_one_class_have_one_colour_and_nothing_is_left_as_it_is():
    panoptic = PanopticMap(IDS, (Segment(70000, 1), Segment(5, 1), Segment(9, 2)))
    drawn = np.array(draw_crayon(GREY, panoptic))
    assert drawn.shape == (40, 80, 3)
    assert (drawn[4, 8] == drawn[4, 72]).all() and (drawn[4, 8] != 128).any()
    assert (drawn[20, 50] == 128).all()
    assert draw_crayon(GREY, PanopticMap(IDS), 160).size == (160, 80)


def test_the_sheet_of_a_sample_shows_its_map():
    sample = GroundingSample('x', image=GREY, ori_shape=(40, 80))
    without = draw_sample(sample)
    sample.panoptic = PanopticMap(IDS, (Segment(5, 0),))
    assert draw_sample(sample).width > without.width
