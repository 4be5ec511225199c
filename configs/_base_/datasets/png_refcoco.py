"""PNG and RefCOCO/+/g in the release's layout under ``data/coco`` (docs/datasets.md).

``train_datasets``: a list, what F-LMM trains on (random sentences). ``test_datasets``: a dict,
PNG val and the eight RefCOCO/+/g splits (first sentences, all expressions of an image in one
forward). None has a pipeline: leaves add it through ``ConcatGrounding``, as they know the LMM.
"""

from flmm.datasets import PNGDataset, RefCOCODataset

data_root = 'data/coco'
_png = {
    part: dict(
        type=PNGDataset,
        ann_file=f'{data_root}/annotations/png_coco_{part}2017.json',
        panoptic_json=f'{data_root}/annotations/panoptic_{part}2017.json',
        panoptic_root=f'{data_root}/annotations/panoptic_{part}2017',
        image_root=f'{data_root}/{part}2017',
        name=f'png_{part}',
    )
    for part in ('train', 'val')
}
_res = {
    (name, split): dict(
        type=RefCOCODataset,
        ann_file=f'{data_root}/{name}/instances.json',
        split_file=f'{data_root}/{name}/refs({by}).p',
        image_root=f'{data_root}/train2014',
        split=split,
        sentence='random' if split == 'train' else 'first',
        name=name.replace('+', '_plus'),
    )
    for name, by, splits in (
        ('refcoco', 'unc', ('train', 'val', 'testA', 'testB')),
        ('refcoco+', 'unc', ('train', 'val', 'testA', 'testB')),
        ('refcocog', 'umd', ('train', 'val', 'test')),
    )
    for split in splits
}
train_datasets = [_png['train'], *(cfg for (_, split), cfg in _res.items() if split == 'train')]
# Keys: png, refcoco_val, refcoco_testA, ..., refcoco_plus_val, ..., refcocog_val, refcocog_test.
test_datasets = dict(
    png=_png['val'],
    **{f'{cfg["name"]}_{split}': cfg for (_, split), cfg in _res.items() if split != 'train'},
)
# mmengine would try to write helper tables with tuple keys into the dumped config.
del _png, _res
