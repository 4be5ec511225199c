import numpy as np
from PIL import Image

from flmm.evaluation.metrics.ground_truth import ground_truth_area
from flmm.structures import CocoMask, PanopticMask, Phrase
from flmm.utils.masks import encode_rle


def test_area_of_panoptic_segments(tmp_path):
    ids = np.array([[7, 7, 300], [7, 1, 300]])
    rgb = np.stack([ids % 256, ids // 256, 0 * ids], axis=-1).astype(np.uint8)
    Image.fromarray(rgb).save(tmp_path / 'a.png')
    mask = PanopticMask(str(tmp_path / 'a.png'), (7, 300))
    assert ground_truth_area(Phrase('x', mask=mask)) == 5


def test_area_of_polygons_and_run_lengths_is_that_of_their_union():
    polygon = [[0, 0, 4, 0, 4, 2, 0, 2]]
    rle_mask = np.zeros((10, 10), dtype=bool)
    rle_mask[0:3, 0:2] = True
    mask = CocoMask((polygon, encode_rle(rle_mask)))
    # 4x2 and 2 wide x 3 high overlap in 2x2.
    assert ground_truth_area(Phrase('x', mask=CocoMask((polygon,)))) == 8
    assert ground_truth_area(Phrase('x', mask=CocoMask((encode_rle(rle_mask),)))) == 6
    assert ground_truth_area(Phrase('x', mask=mask)) == 10


def test_what_cannot_be_read_has_area_zero(tmp_path):
    broken = [
        None,
        PanopticMask(str(tmp_path / 'missing.png'), (1,)),
        CocoMask(()),
        CocoMask(([[1, 2]],)),
        CocoMask(({'size': [2, 2]},)),
        CocoMask(('x',)),
        CocoMask(([[0, 0, 1e9, 0, 1e9, 1e9]],)),
        CocoMask(([[0, 0, float('inf'), 0, 1, 1]],)),
        CocoMask(({'size': [10**6, 10**6], 'counts': [10**12]},)),
    ]
    assert [ground_truth_area(Phrase('x', mask=mask)) for mask in broken] == [0] * len(broken)
