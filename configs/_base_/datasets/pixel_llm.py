"""PixelLLM's data: COCO captions, Localized Narratives, references, Visual Genome, LLaVA.

Expressions are MDETR's files, Visual Genome is GRiT's; docs/datasets.md says where all belong.
"""

from flmm.datasets import (
    ConcatGrounding,
    ImageSafe,
    LocalizedNarrativesDataset,
    MDETRDataset,
    RefCOCODataset,
)
from flmm.datasets.coco_captions import COCOCaptionDataset
from flmm.datasets.llava_instruct import LLaVAInstructDataset
from flmm.datasets.region_captions import RegionCaptionDataset

_coco = 'data/coco'
coco_captions = dict(
    type=COCOCaptionDataset,
    ann_file=f'{_coco}/annotations/captions_train2017.json',
    image_root=f'{_coco}/train2017',
    name='coco_captions',
)
narratives_train = [
    dict(
        type=LocalizedNarrativesDataset,
        ann_file=f'{_coco}/annotations/coco_train_localized_narratives-0000{part}-of-00004.jsonl',
        image_root=f'{_coco}/train2017',
        name=f'narratives_{part}',
    )
    for part in range(4)
]
narratives_val = dict(
    type=LocalizedNarrativesDataset,
    ann_file=f'{_coco}/annotations/coco_val_localized_narratives.jsonl',
    image_root=f'{_coco}/val2017',
    name='narratives_val',
)
_mdetr = 'data/mdetr_annotations'
flickr_refs, coco_refs, vg_refs = (
    dict(type=MDETRDataset, ann_file=f'{_mdetr}/{file}', image_root=root, name=name)
    for file, root, name in (
        ('final_flickr_separateGT_train.json', 'data/flickr30k/flickr30k-images', 'flickr_refs'),
        ('final_mixed_train_only_coco.json', f'{_coco}/train2014', 'coco_refs'),
        ('final_mixed_train_only_vg.json', 'data/visual_genome/VG_100K', 'vg_refs'),
    )
)
_refcoco = {
    (name, split): dict(
        type=RefCOCODataset,
        ann_file=f'{_coco}/{folder}/instances.json',
        split_file=f'{_coco}/{folder}/refs({by}).p',
        image_root=f'{_coco}/train2014',
        split=split,
        sentence='random' if split == 'train' else 'all',
        name=f'{name}_{split}',
    )
    for name, folder, by, splits in (
        ('refcoco', 'refcoco', 'unc', ('train', 'val', 'testA', 'testB')),
        ('refcoco_plus', 'refcoco+', 'unc', ('train', 'val', 'testA', 'testB')),
        ('refcocog', 'refcocog', 'umd', ('train', 'val', 'test')),
    )
    for split in splits
}
references_test = {cfg['name']: cfg for (_, split), cfg in _refcoco.items() if split != 'train'}
# RefCOCOg's training images are partly RefCOCO's test images, and the other way round.
masks_train = [
    dict(
        type=ImageSafe,
        dataset=cfg,
        avoid=list(references_test.values()),
        name=f'{cfg["name"]}_safe',
    )
    for (_, split), cfg in _refcoco.items()
    if split == 'train'
]
_genome = dict(type=RegionCaptionDataset, image_root='data/visual_genome/VG_100K', max_regions=100)
regions_train, regions_test = (
    dict(_genome, ann_file=f'data/visual_genome/{split}.json', name=f'regions_{split}')
    for split in ('train', 'test')
)
one_region_test = dict(regions_test, ask='one', name='one_region_test')
conversations = dict(
    type=LLaVAInstructDataset,
    ann_file='data/llava/llava_instruct_150k.json',
    image_root=f'{_coco}/train2017',
    name='conversations',
)
all_narratives = dict(type=ConcatGrounding, datasets=narratives_train, name='narratives')
del _coco, _mdetr, _refcoco, _genome
