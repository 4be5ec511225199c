"""RefCOCO, RefCOCO+ and RefCOCOg in their public layouts, every sentence a question for a box."""

from mmengine.dataset import DefaultSampler

from flmm.datasets import RefCOCODataset, ReferringBoxes, grounding_collate

rec_datasets = {
    f'{_name.replace("+", "_plus")}_{_split}': dict(
        type=ReferringBoxes,
        source=dict(
            type=RefCOCODataset,
            ann_file=f'data/coco/{_name}/instances.json',
            split_file=f'data/coco/{_name}/refs({_by}).p',
            image_root='data/coco/train2014',
            split=_split,
            sentence='all',
            concat=False,
            refs_of_one_object='all',
            name=_name.replace('+', '_plus'),
        ),
    )
    for _name, _by, _splits in (
        ('refcoco', 'unc', ('val', 'testA', 'testB')),
        ('refcoco+', 'unc', ('val', 'testA', 'testB')),
        ('refcocog', 'umd', ('val', 'test')),
    )
    for _split in _splits
}
# A leaf gives the data sets of these its pipeline.
rec_loaders = {
    _task: dict(
        batch_size=1,
        num_workers=2,
        collate_fn=dict(type=grounding_collate),
        sampler=dict(type=DefaultSampler, shuffle=False),
        dataset=_dataset,
    )
    for _task, _dataset in rec_datasets.items()
}
