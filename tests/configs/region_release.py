"""A few samples of each of GPT4RoI's data sets, in the files that its configs name."""

import json

import numpy as np
from PIL import Image

BOXES = ([4, 5, 30, 40], [40, 10, 50, 60])
TALK = [
    {'from': 'human', 'value': 'What is there?\n<image>'},
    {'from': 'gpt', 'value': 'a red circle'},
]
QUESTION = {
    'img_fn': 'movie/a.jpg',
    'metadata_fn': 'movie/a.json',
    'objects': ['person', 'dog'],
    'question': ['What', 'is', [0], 'near', [1], '?'],
    'answer_choices': [[word, [0]] for word in ('red', 'blue', 'green', 'big')],
    'rationale_choices': [['the', word] for word in ('sky', 'grass', 'star', 'square')],
    'answer_label': 1,
    'rationale_label': 2,
}


def write_release(root):
    """Write everything below ``root`` (``data/`` of the configs)."""
    coco = root / 'coco_det'
    _image(coco / 'train2017/a.jpg')
    _json(coco / 'annotations/instances_train2017.json', _coco('a.jpg'))
    for path in ('coco_imgs/a.jpg', 'flickr30k-images/a.jpg', 'visual_genome/vg_all/a.jpg'):
        _image(root / path)
    captioned = _coco('COCO_train2014_a.jpg')
    captioned['images'][0]['caption'] = 'the red circle on the left'
    for name in ('refcoco_train', 'refcoco+_train', 'refcocog_train', 'refcocog_val'):
        _json(root / f'mdetr_annotations/finetune_{name}.json', captioned)
    flickr = _coco('a.jpg', tokens_positive=[[0, 5]])
    flickr['images'][0]['caption'] = 'a dog near a star'
    _json(root / 'mdetr_annotations/final_flickr_mergedGT_train.json', flickr)
    for split in ('train', 'test'):
        content = _coco('a.jpg', caption='a big yellow star')
        _json(root / f'visual_genome/{split}.json', content)
    _json(root / 'llava/llava_instruct_150k.json', [{'image': 'a.jpg', 'conversations': TALK}] * 4)
    found = {'filename': 'a.jpg', 'pred_bboxes': [[0.1, 0.1, 0.6, 0.7, 0.9]], 'labels': [0]}
    _json(root / 'llava/detections.json', [found])
    _json(root / 'lvis/lvis_v1_val.json', {'categories': [{'id': 1, 'name': 'cat'}]})
    _write_vcr(root / 'vcr')


def _coco(file_name, **fields):
    annotations = [
        {'id': i, 'image_id': 7, 'bbox': box, 'category_id': 1, 'iscrowd': 0, **fields}
        for i, box in enumerate(BOXES)
    ]
    return {
        'images': [{'id': 7, 'file_name': file_name, 'width': 100, 'height': 80}],
        'categories': [{'id': 1, 'name': 'dog'}],
        'annotations': annotations,
    }


def _write_vcr(folder):
    _image(folder / 'vcr1images/movie/a.jpg')
    boxes = [[4, 5, 34, 45, 0.9], [40, 10, 90, 70, 0.8]]
    _json(folder / 'vcr1images/movie/a.json', {'boxes': boxes})
    lines = []
    for number, question in enumerate((QUESTION['question'], ['Why', 'is', [1], 'red', '?'])):
        record = QUESTION | {'annot_id': str(number), 'question': question}
        record |= {'answer': ['blue', [1]], 'rationale': ['the', 'star', 'is', [1]]}
        lines.append(json.dumps(record) + '\n')
    for split in ('train', 'val'):
        (folder / f'{split}.jsonl').write_text(''.join(lines))


def _image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def _json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
