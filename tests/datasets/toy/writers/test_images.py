"""Pictures, boxes, ids and segmentations of scenes."""

import numpy as np
from PIL import Image
from toy_by_hand import COCO_BOXES, scene_by_hand

from flmm.datasets.toy.writers import images


def test_boxes_hold_the_mask_and_no_more():
    mask = np.zeros((5, 8), bool)
    mask[1, 2] = mask[3, 6] = True
    assert images.bbox_of(mask) == [2, 1, 5, 3]
    records = images.instance_records(7, scene_by_hand())
    assert [record['bbox'] for record in records] == COCO_BOXES
    assert [record['area'] for record in records] == [36, 40, 36, 48]


def test_ids_tell_image_and_object_the_same_in_every_file():
    records = images.instance_records(7, scene_by_hand())
    assert [record['id'] for record in records] == [71, 72, 73, 74]
    assert images.annotation_id(7, 2) == 73
    names = {category['id']: category['name'] for category in images.THING_CATEGORIES}
    assert [names[record['category_id']] for record in records] == [
        'circle', 'square', 'circle', 'star'
    ]  # fmt: skip


def test_a_mask_with_a_hole_becomes_an_rle_and_a_whole_one_polygons():
    mask = np.zeros((6, 6), bool)
    mask[1:5, 1:5] = True
    (polygon,) = images.segmentation_of(mask)
    assert min(polygon) == 1.12 and max(polygon) == 4.88  # half a quarter pixel inside
    mask[2:4, 2:4] = False
    rle = images.segmentation_of(mask)
    assert rle['size'] == [6, 6] and sum(rle['counts']) == 36
    # Column by column, background first: seven pixels, then a column of four.
    assert rle['counts'][:2] == [7, 4] and sum(rle['counts'][1::2]) == 12


def test_a_picture_is_written_once(tmp_path):
    path = tmp_path / 'deep/a.jpg'
    images.save_jpeg(scene_by_hand(), path)
    before = path.read_bytes()
    with Image.open(path) as image:
        assert image.size == (40, 20)
    images.save_jpeg(scene_by_hand(1), path)
    assert path.read_bytes() == before
