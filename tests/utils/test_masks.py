import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pycocotools import mask as coco_mask

from flmm.utils import masks

bool_masks = hnp.arrays(
    bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40), elements=st.booleans()
)


@settings(deadline=None)
@given(bool_masks)
def test_rle_comes_back_as_it_was_and_pycocotools_agrees(mask):
    rle = masks.encode_rle(mask)
    assert isinstance(rle['counts'], str)
    assert (masks.decode_rle(rle, mask.shape) == mask).all()
    assert (coco_mask.decode(rle).astype(bool) == mask).all()


@settings(deadline=None)
@given(bool_masks)
def test_uncompressed_counts_are_read_column_by_column(mask):
    flat = mask.flatten(order='F')
    borders = np.flatnonzero(np.diff(np.concatenate([[False], flat])))
    counts = np.diff(np.concatenate([[0], borders, [flat.size]])).tolist()
    rle = {'size': list(mask.shape), 'counts': counts}
    assert (masks.decode_rle(rle, mask.shape) == mask).all()


@settings(deadline=None)
@given(st.binary(max_size=40), st.integers(1, 30), st.integers(1, 30))
def test_any_compressed_string_gives_a_mask_or_a_value_error(counts, height, width):
    rle = {'size': [height, width], 'counts': counts}
    try:
        assert masks.decode_rle(rle, (height, width)).shape == (height, width)
    except ValueError:
        pass


@pytest.mark.parametrize(
    'rle',
    [
        {'size': [2, 3], 'counts': [7]},
        {'size': [2, 3], 'counts': [-1, 7]},
        {'size': [2, 3], 'counts': [1.0, 5.0]},
        {'size': [2, 3], 'counts': [10**12, 6 - 10**12]},
        {'size': [3, 2], 'counts': [6]},
        {'size': [2, 3]},
        {'counts': [6]},
        {'size': [2, 3], 'counts': 'PPPPPPPPPPPPPPPPPPP'},
        {'size': [2, 3], 'counts': 'o'},
        'nonsense',
        None,
    ],
)
def test_malformed_run_lengths_raise(rle):
    with pytest.raises(ValueError):
        masks.decode_segmentation(rle, (2, 3))


def test_polygons_mean_their_union():
    left = [0, 0, 2, 0, 2, 4, 0, 4]
    right = [4, 0, 6, 0, 6, 4, 4, 4]
    mask = masks.decode_segmentation([left, right, [1, 1, 2, 2]], (4, 6))
    expected = np.zeros((4, 6), bool)
    expected[:, :2] = expected[:, 4:] = True
    assert (mask == expected).all()


@pytest.mark.parametrize(
    'polygons',
    [
        [],
        [[1, 1, 2, 2]],
        [[0, 0, 1, 0, 1]],
        [[0, 0, 1, 0, float('nan'), 1]],
        [[0, 0, 1e9, 0, 1, 1]],
        [[0, 0, '1', 0, 1, 1]],
        [7],
    ],
)
def test_malformed_polygons_raise(polygons):
    with pytest.raises(ValueError):
        masks.decode_segmentation(polygons, (8, 8))


@settings(deadline=None)
@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=12),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_any_numbers_give_a_mask_or_a_value_error(polygon, height, width):
    try:
        assert masks.decode_polygons([polygon], (height, width)).shape == (height, width)
    except ValueError:
        pass


def test_panoptic_ids_count_red_green_blue():
    image = Image.new('RGB', (2, 1))
    image.putpixel((1, 0), (1, 2, 3))
    assert masks.panoptic_ids(image).tolist() == [[0, 1 + 2 * 256 + 3 * 65536]]


def test_box_excludes_its_right_and_bottom_edge():
    mask = np.zeros((5, 7), bool)
    mask[1:3, 4] = True
    assert masks.mask_to_xyxy(mask) == (4, 1, 5, 3)
    assert masks.mask_to_xyxy(np.zeros((5, 7), bool)) is None


@settings(deadline=None)
@given(
    hnp.arrays(bool, st.tuples(st.integers(0, 3), st.integers(1, 50), st.integers(1, 50))),
    st.integers(1, 60),
    st.integers(1, 60),
)
def test_nearest_resize_is_torchs(batch, height, width):
    resized = masks.resize_nearest(batch, (height, width))
    assert resized.shape == (len(batch), height, width) and resized.dtype == bool
    if len(batch):
        expected = F.interpolate(torch.from_numpy(batch)[None].float(), size=(height, width))[0]
        assert (resized == expected.bool().numpy()).all()
