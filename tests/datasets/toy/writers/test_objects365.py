"""Objects365 of a scene by hand: boxes with categories, nothing else."""

import json

from toy_by_hand import COCO_BOXES, write_one

from flmm.datasets.derived_files import boxes_by_image
from flmm.datasets.toy.writers.objects365 import Objects365Writer


def test_boxes_without_masks_and_paths_as_in_the_real_files(tmp_path):
    write_one(Objects365Writer(tmp_path))
    root = tmp_path / 'objects365'
    content = json.loads((root / 'zhiyuan_objv2_train.json').read_text())
    assert [item['bbox'] for item in content['annotations']] == COCO_BOXES
    assert not any('segmentation' in item for item in content['annotations'])
    assert content['images'][0]['file_name'] == 'images/v1/patch0/objects365_v1_00000007.jpg'
    (record,) = boxes_by_image(content, drop_prefix=len('images/v1/'))
    assert (root / 'train' / record['image_id']).is_file()
    # A split that there is none of is left out.
    assert json.loads((root / 'zhiyuan_objv2_val.json').read_text())['images'] == []
