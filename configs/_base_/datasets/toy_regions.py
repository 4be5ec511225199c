"""The toy world as conversations about regions, under ``data/toy_regions``.

Made by ``tools/prepare_data/make_toy.py data/toy_regions --formats refcoco visual_genome vcr
flickr30k coco_detection llava_regions --num-train 2000 --num-val 100``.
"""

from flmm.datasets.coco_detection import CocoDetectionDataset
from flmm.datasets.flickr30k_regions import Flickr30kRegionDataset
from flmm.datasets.llava_regions import LLaVARegionDataset
from flmm.datasets.region_captions import RefCOCOCaptionDataset, RegionCaptionDataset
from flmm.datasets.vcr import VCRDataset

data_root = 'data/toy_regions'
# A tiny model reads short requests better.
templates = dict(
    coco_detection=dict(overview=['<image>\n'], questions=['What is {token}?']),
    refcoco=dict(overview=['<image>\n'], questions=['What is {token}?']),
    refcoco_plus=dict(overview=['<image>\n'], questions=['What is {token}?']),
    refcocog=dict(overview=['<image>\n'], questions=['What is {token}?']),
    visual_genome=dict(overview=['<image>\n'], questions=['What is on {token}?']),
    flickr30k=dict(
        overview=['<image>\n'],
        questions=['Describe this image with {regions}.'],
        phrase_questions=['What is region {number}?'],
    ),
    vcr=dict(overview=['<image>\n'], region_list=['There is {regions}. '], why=['Why?']),
    llava=dict(
        overview=['<image>\n'],
        described=['<image>\nIn this picture: {regions}\n'],
        region=['{token} a {name} ,'],
    ),
)
_refcoco = {
    kind: dict(
        type=RefCOCOCaptionDataset,
        ann_file=f'{data_root}/{folder}/instances.json',
        split_file=f'{data_root}/{folder}/refs({by}).p',
        image_root=f'{data_root}/train2014',
        kind=kind,
        templates=templates,
        name=kind,
    )
    for kind, folder, by in (
        ('refcoco', 'refcoco', 'unc'),
        ('refcoco_plus', 'refcoco+', 'unc'),
        ('refcocog', 'refcocog', 'umd'),
    )
}
_vg = dict(
    type=RegionCaptionDataset,
    image_root=f'{data_root}/visual_genome/VG_100K',
    templates=templates,
)
_vcr = dict(type=VCRDataset, image_root=f'{data_root}/vcr/vcr1images', templates=templates)
_vg_train = dict(_vg, ann_file=f'{data_root}/visual_genome/train.json', name='visual_genome')
stage1_datasets = [
    dict(
        type=CocoDetectionDataset,
        ann_file=f'{data_root}/coco_detection/annotations/instances_train2017.json',
        image_root=f'{data_root}/coco_detection/train2017',
        templates=templates,
    ),
    _refcoco['refcoco'],
    _refcoco['refcoco_plus'],
    _vg_train,
]
stage2_datasets = [
    _refcoco['refcocog'],
    dict(
        type=Flickr30kRegionDataset,
        ann_file=f'{data_root}/flickr30k',
        image_root=f'{data_root}/flickr30k/flickr30k-images',
        layout='entities',
        split_file=f'{data_root}/flickr30k/train.txt',
        templates=templates,
    ),
    _vg_train,
    dict(
        type=LLaVARegionDataset,
        ann_file=f'{data_root}/llava_regions/conversations_train.json',
        detections_file=f'{data_root}/llava_regions/detections_train.json',
        image_root=f'{data_root}/llava_regions/images',
        templates=templates,
    ),
    dict(_vcr, ann_file=f'{data_root}/vcr/train.jsonl', name='vcr_all'),
    dict(_vcr, ann_file=f'{data_root}/vcr/train.jsonl', regions='mentioned', name='vcr_named'),
]
_vg_val = dict(_vg, ann_file=f'{data_root}/visual_genome/val.json', ask='one')
test_datasets = dict(
    vg_captions=dict(_vg_val, name='vg_captions'),
    vg_captions_8=dict(_vg_val, company=7, repeat_company=True, name='vg_captions_8'),
    refcocog_captions=dict(_refcoco['refcocog'], split='val', ask='one', name='refcocog_captions'),
    vcr=dict(_vcr, ann_file=f'{data_root}/vcr/val.jsonl', task='choose', name='vcr_val'),
)
naming_kinds = dict(
    color=['red', 'green', 'blue', 'yellow', 'purple', 'white'],
    shape=['circle', 'square', 'triangle', 'star', 'ring', 'cross'],
)
del _refcoco, _vg, _vcr, _vg_train, _vg_val
