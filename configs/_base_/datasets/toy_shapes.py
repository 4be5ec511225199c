"""The toy world's regions as boxes, masks, points and scribbles, where there are outlines."""

from mmengine.config import read_base

with read_base():
    from .toy_regions import stage1_datasets, stage2_datasets, test_datasets

shapes = dict(box=1.0, mask=1.0, points=1.0, scribble=1.0)
# COCO and RefCOCO have outlines; the others stay boxes.
shape_stage1_datasets = [
    *(dict(one, shapes=shapes) for one in stage1_datasets[:3]),
    *stage1_datasets[3:],
]
shape_stage2_datasets = [
    *shape_stage1_datasets[:3],
    dict(stage2_datasets[0], shapes=shapes),
    *stage2_datasets[1:],
]
# The same objects, given in each way.
shape_test_datasets = {
    f'{kind}_captions': dict(
        test_datasets['refcocog_captions'], shapes={kind: 1.0}, name=f'{kind}_captions'
    )
    for kind in shapes
}
