import json

import pytest

from flmm.apis.prepare import split_by_source, uninext_as_mdetr
from flmm.datasets import MDETRDataset
from flmm.utils.errors import AnnotationError


def write(tmp_path, content, name='final_mixed_train.json'):
    path = tmp_path / name
    path.write_text(json.dumps(content))
    return path


def mixed():
    def image(number, source, file):
        size = {'width': 40, 'height': 30}
        return {'id': number, 'file_name': file, 'caption': 'a dog', 'data_source': source, **size}

    def box(number, image_id):
        place = {'bbox': [1, 2, 10, 5], 'tokens_positive': [[2, 5]]}
        return {'id': number, 'image_id': image_id, **place}

    return {
        'info': 'x',
        'categories': [],
        'images': [image(0, 'vg', '7.jpg'), image(1, 'coco', 'COCO_train2014_000000000009.jpg')],
        'annotations': [box(0, 0), box(1, 1), box(2, 1)],
    }


def test_mdetr_s_mixed_file_is_cut_by_source(tmp_path):
    source = write(tmp_path, mixed())
    assert split_by_source(source, tmp_path) == {'coco': 1, 'vg': 1}
    coco = json.loads((tmp_path / 'final_mixed_train_only_coco.json').read_text())
    assert [entry['id'] for entry in coco['annotations']] == [1, 2] and coco['info'] == 'x'
    data = MDETRDataset(str(tmp_path / 'final_mixed_train_only_vg.json'), 'images')
    (phrase,) = data.read_sample(0).phrases
    assert phrase.text == 'dog' and phrase.meta['box_xyxy'] == [1, 2, 11, 7]


@pytest.mark.parametrize(
    'break_it',
    [
        lambda content: content.pop('images'),
        lambda content: content['images'][0].pop('data_source'),
        lambda content: content['annotations'][0].update(image_id=99),
        lambda content: content['images'][0].update(data_source='../up'),
    ],
)
def test_another_form_is_an_error(tmp_path, break_it):
    content = mixed()
    break_it(content)
    with pytest.raises(AnnotationError, match='final_mixed_train.json'):
        split_by_source(write(tmp_path, content), tmp_path)


UNINEXT = {
    'train': [
        dict(
            image_id=9, width=40, height=30, bbox=[1, 2, 10, 5], category_id=0,
            expressions=['a dog', 'the left dog'], data_source='coco',
            mask=[[1, 2, 11, 2, 11, 7]],
        ),
        dict(
            image_id=7, width=40, height=30, bbox=[0, 0, 4, 4], expressions=['a cat'],
            data_source='vg',
        ),
        dict(
            image_id=7, width=40, height=30, bbox=[0, 0, -4, 4], expressions=['a bat'],
            data_source='vg',
        ),
    ]
}  # fmt: skip


def test_uninext_s_objects_become_captions(tmp_path):
    source = write(tmp_path, UNINEXT, 'instances.json')
    counts = uninext_as_mdetr(source, tmp_path)
    assert counts == dict(bad_box=1, train_coco=2, train_vg=1)
    sample = MDETRDataset(str(tmp_path / 'train_coco.json'), 'images').read_sample(0)
    assert [phrase.text for phrase in sample.phrases] == ['a dog', 'the left dog']
    assert sample.image_path.endswith('COCO_train2014_000000000009.jpg')
    assert all(phrase.meta['box_xyxy'] == [1, 2, 11, 7] for phrase in sample.phrases)
    coco = json.loads((tmp_path / 'train_coco.json').read_text())
    assert coco['annotations'][1]['segmentation'] == [[1, 2, 11, 2, 11, 7]]
    vg = MDETRDataset(str(tmp_path / 'train_vg.json'), 'images').read_sample(0)
    assert vg.image_path.endswith('/7.jpg')


def test_a_source_may_be_named_for_all(tmp_path):
    content = {'val': [dict(UNINEXT['train'][1])]}
    del content['val'][0]['data_source']
    source = write(tmp_path, content, 'instances.json')
    with pytest.raises(AnnotationError, match='data_source'):
        uninext_as_mdetr(source, tmp_path)
    assert uninext_as_mdetr(source, tmp_path, 'flickr') == dict(bad_box=0, val_flickr=1)
    for broken in ([1], {'val': 3}, {'val': [{'image_id': 1}]}, {'../x': content['val']}):
        with pytest.raises(AnnotationError):
            uninext_as_mdetr(write(tmp_path, broken, 'broken.json'), tmp_path, 'flickr')
