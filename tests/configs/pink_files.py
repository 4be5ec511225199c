"""Every file that Pink's configs name, in its public layout, with one question or two in each."""

import json
import pickle

from PIL import Image

_IMAGES = (
    'llava_pretrain/images/1.jpg',
    'visual_genome/images/9.jpg',
    'coco/train2014/COCO_train2014_000000000002.jpg',
    'coco/val2014/COCO_val2014_000000000002.jpg',
    'coco/train2017/000000000002.jpg',
    'coco/val2017/000000000002.jpg',
    'flickr30k/flickr30k-images/5.jpg',
    'objects365/train/p/a.jpg',
    'gqa/images/n9.jpg',
    'iconqa/test/choose_txt/7/image.png',
    'seed_bench/images/s1',
    'visual7w/images/v7w_9.jpg',
)
_BOX = {'x': 4, 'y': 6, 'width': 10, 'height': 9}
_SHORT_BOX = {'x': 4, 'y': 6, 'w': 10, 'h': 9}


def write_pink_files(data):
    """Write them below a folder ``data``."""
    for name in _IMAGES:
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = 'PNG' if path.suffix == '.png' else 'JPEG'
        Image.new('RGB', (40, 30), (90, 160, 30)).save(path, kind)
    _write_training(data)
    _write_refcoco(data)
    _write_questions(data)
    _write_choices(data)


def _json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _lines(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(record) + '\n' for record in records))


def _write_training(data):
    talk = [{'from': 'human', 'value': 'What?\n<image>'}, {'from': 'gpt', 'value': 'a star'}]
    _json(data / 'llava_pretrain/chat.json', [{'image': '1.jpg', 'conversations': talk}])
    talks = [{'image': '000000000002.jpg', 'conversations': talk * 2}]
    _json(data / 'llava/llava_instruct_150k.json', talks)
    man, hat = ({'object_id': i, 'names': [n], **_SHORT_BOX} for i, n in ((1, 'man'), (2, 'hat')))
    region = {'region_id': 5, 'image_id': 9, 'phrase': 'a tall man', **_BOX}
    relation = {'predicate': 'holding', 'subject': man, 'object': hat}
    genome = data / 'visual_genome'
    _json(genome / 'region_descriptions.json', [{'id': 9, 'regions': [region]}])
    _json(genome / 'objects.json', [{'image_id': 9, 'objects': [man, hat]}])
    _json(genome / 'relationships.json', [{'image_id': 9, 'relationships': [relation]}])
    line = {'image_id': '5', 'sentence': '<ph_st>a dog<ph_ed> runs', 'boxes': [[1, 2, 9, 8]]}
    _lines(data / 'flickr30k/CWB_flickr30k_train.jsonl', {**line, 'boxes_seq': [[0]]})
    item = {'bbox': [4, 6, 14, 15], 'category_name': 'Car', 'ignore': 0}
    kept = {'caption': 'a red car', 'bbox': [4, 6, 14, 15]}
    line = {'image_id': 'p/a.jpg', 'anno': [item], 'pred': [kept], 'generate_caption': 'a car'}
    _lines(data / 'objects365/kept.jsonl', line)


def _write_refcoco(data):
    image = {'id': 2, 'file_name': 'COCO_train2014_000000000002.jpg', 'width': 40, 'height': 30}
    outline = [4, 6, 14, 6, 14, 15, 4, 15]
    box = {'id': 3, 'image_id': 2, 'category_id': 1, 'bbox': [4, 6, 10, 9], 'iscrowd': 0}
    instances = {
        'images': [image],
        'annotations': [{**box, 'segmentation': [outline], 'area': 90}],
        'categories': [{'id': 1, 'name': 'star'}],
    }
    said = {'raw': 'The red star', 'sent': 'the red star', 'sent_id': 1, 'tokens': ['the']}
    for name, by, splits in (
        ('refcoco', 'unc', ('train', 'val', 'testA', 'testB')),
        ('refcoco+', 'unc', ('train', 'val', 'testA', 'testB')),
        ('refcocog', 'umd', ('train', 'val', 'test')),
    ):
        refs = [
            {
                'ref_id': i,
                'ann_id': 3,
                'image_id': 2,
                'category_id': 1,
                'split': split,
                'sentences': [said],
            }
            for i, split in enumerate(splits)
        ]
        folder = data / 'coco' / name
        _json(folder / 'instances.json', instances)
        (folder / f'refs({by}).p').write_bytes(pickle.dumps(refs, protocol=2))


def _write_questions(data):
    for split in ('train', 'val'):
        for root, prefix, key in (('vqav2', 'v2_', 'answer'), ('okvqa', '', 'raw_answer')):
            asked = {'question_id': 1, 'image_id': 2, 'question': 'What is it?'}
            answers = [{'answer': 'star', key: 'star', 'answer_id': i} for i in range(10)]
            answer = {'question_id': 1, 'image_id': 2, 'answers': answers}
            if root == 'vqav2':
                answer['multiple_choice_answer'] = 'star'
            name = f'{prefix}OpenEnded_mscoco_{split}2014_questions.json'
            _json(data / root / name, {'questions': [asked]})
            name = f'{prefix}mscoco_{split}2014_annotations.json'
            _json(data / root / name, {'annotations': [answer]})
        entry = {'image_id': 2, 'question': 'Who?', 'choices': ['a', 'b', 'c', 'd']}
        _json(data / f'aokvqa/aokvqa_v1p0_{split}.json', [{**entry, 'correct_choice_idx': 1}])
    entry = {'imageId': 'n9', 'question': 'Who?', 'answer': 'man', 'fullAnswer': 'A man.'}
    _json(data / 'gqa/testdev_balanced_questions.json', {'1': entry})
    link = 'http://images.cocodataset.org/val2017/000000000002.jpg'
    line = {'image': '000000000002.jpg', 'image_link': link, 'caption': 'It is red.', 'label': 1}
    _lines(data / 'vsr/test.jsonl', line)
    point = {'x': 9, 'y': 9, 'ans': 'red'}
    local = {'id': 9, 'question': 'Which colour?', 'all_objs': _SHORT_BOX, 'points': point}
    _json(data / 'pointqa/local_test.json', [local])
    twice = {'id': 9, 'bbox': _SHORT_BOX, 'point': point, 'ans': '2', 'obj_question': 'How many?'}
    twice |= {'super_question': 'How many of them?', 'general_question': 'How many of these?'}
    _json(data / 'pointqa/look_twice_test.json', [twice])


def _write_choices(data):
    icon = {'question': 'Which?', 'choices': ['1', '2'], 'answer': 0, 'ques_type': 'choose_txt'}
    _json(data / 'iconqa/test/choose_txt/7/data.json', icon)
    question = {'question_type_id': 1, 'data_id': 's1', 'question': 'Which?', 'answer': 'B'}
    question |= {f'choice_{letter}': letter for letter in 'abcd'}
    _json(data / 'seed_bench/SEED-Bench.json', {'questions': [question]})
    image = {'image_id': 9, 'filename': 'v7w_9.jpg', 'split': 'test'}
    which = {'question': 'Which?', 'answer': 1, 'multiple_choices': [2, 3, 4]}
    boxes = [{'box_id': i, **_BOX} for i in range(1, 5)]
    content = {'images': [{**image, 'qa_pairs': [which]}], 'boxes': boxes}
    _json(data / 'visual7w/dataset_v7w_pointing.json', content)
    what = {'question': 'What?', 'answer': 'a star', 'multiple_choices': ['x', 'y', 'z']}
    content = {'images': [{**image, 'qa_pairs': [what]}]}
    _json(data / 'visual7w/dataset_v7w_telling.json', content)
