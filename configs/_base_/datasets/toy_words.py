"""The toy world as Localized Narratives, references and regions, under ``data/toy_words``.

Made by ``tools/prepare_data/make_toy.py data/toy_words --num-train 2000 --num-val 200 --formats
localized_narratives refcoco visual_genome``. Loaders are a leaf's business.
"""

from flmm.datasets import LocalizedNarrativesDataset, PNGDataset, RefCOCODataset
from flmm.datasets.region_captions import RegionCaptionDataset

data_root = 'data/toy_words'
_words = f'{data_root}/localized_narratives'
_narratives = {
    split: dict(
        type=LocalizedNarrativesDataset,
        ann_file=f'{_words}/coco_{split}_localized_narratives.jsonl',
        image_root=f'{_words}/{split}2017',
        name=f'narratives_{split}',
    )
    for split in ('train', 'val')
}
_references = {
    (name, split): dict(
        type=RefCOCODataset,
        ann_file=f'{data_root}/{folder}/instances.json',
        split_file=f'{data_root}/{folder}/refs({by}).p',
        image_root=f'{data_root}/train2014',
        split=split,
        sentence='random' if split == 'train' else 'first',
        concat=True,
        name=f'{name}_{split}',
    )
    for name, folder, by in (
        ('refcoco', 'refcoco', 'unc'),
        ('refcoco_plus', 'refcoco+', 'unc'),
        ('refcocog', 'refcocog', 'umd'),
    )
    for split in ('train', 'val')
}
narratives_train, narratives_val = _narratives['train'], _narratives['val']
# The same narratives with the masks of what their nouns mean.
nouns_val = dict(
    type=PNGDataset,
    ann_file=f'{_words}/annotations/png_coco_val2017.json',
    panoptic_json=f'{_words}/annotations/panoptic_val2017.json',
    panoptic_root=f'{_words}/annotations/panoptic_val2017',
    image_root=f'{_words}/val2017',
    name='nouns_val',
)
references_train = [cfg for (_, split), cfg in _references.items() if split == 'train']
references_val = [cfg for (_, split), cfg in _references.items() if split == 'val']
regions_train, regions_val = (
    dict(
        type=RegionCaptionDataset,
        ann_file=f'{data_root}/visual_genome/{split}.json',
        image_root=f'{data_root}/visual_genome/VG_100K',
        name=f'regions_{split}',
    )
    for split in ('train', 'val')
)
# mmengine would try to write helper tables with tuple keys into the dumped config.
del _narratives, _references, _words
