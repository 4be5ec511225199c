"""COCO captions: one sample per image, one of its captions drawn."""

import pytest
from instruction_files import pairs_of, write

from flmm.datasets import COCOCaptionDataset
from flmm.utils.errors import AnnotationError

CONTENT = {
    'images': [
        {'id': 5, 'file_name': 'b.jpg'},
        {'id': 9, 'file_name': 'silent.jpg'},
        {'id': 1, 'file_name': 'a.jpg'},
    ],
    'annotations': [
        {'image_id': 1, 'caption': 'A cat.'},
        {'image_id': 5, 'caption': 'A dog.'},
        {'image_id': 1, 'caption': 'A grey cat.'},
    ],
}


def test_images_come_in_the_file_s_order_and_those_without_captions_not_at_all(tmp_path):
    dataset = COCOCaptionDataset(write(tmp_path / 'c.json', CONTENT), str(tmp_path))
    assert [dataset.image_name(record) for record in dataset.records] == ['b.jpg', 'a.jpg']
    assert dataset[1].image_path == str(tmp_path / 'a.jpg')


def test_any_caption_may_be_learned_and_all_are_references(tmp_path):
    dataset = COCOCaptionDataset(write(tmp_path / 'c.json', CONTENT), str(tmp_path))
    assert {answer for _, answer in pairs_of(dataset, 1)} == {'A cat.', 'A grey cat.'}
    assert dataset[1].meta['references'] == ['A cat.', 'A grey cat.']
    assert {answer for _, answer in pairs_of(dataset, 0)} == {'A dog.'}


def test_epochs_draw_differently_and_runs_alike(tmp_path):
    many = {
        'images': [{'id': i, 'file_name': f'{i}.jpg'} for i in range(40)],
        'annotations': [{'image_id': i, 'caption': text} for i in range(40) for text in 'xy'],
    }
    path = write(tmp_path / 'c.json', many)

    def drawn(epoch):
        dataset = COCOCaptionDataset(path, str(tmp_path))
        dataset.set_epoch(epoch)
        return [dataset[i].meta['instructions'][0]['answer'][0] for i in range(40)]

    assert drawn(0) == drawn(0) != drawn(1)
    # Forty draws of two captions: both about equally often, four standard deviations.
    assert 7 < drawn(0).count('x') < 33


@pytest.mark.parametrize('content', [{'images': []}, {'images': [{}], 'annotations': [{'a': 1}]}])
def test_another_format_is_an_error(tmp_path, content):
    with pytest.raises(AnnotationError, match='COCO captions: KeyError'):
        COCOCaptionDataset(write(tmp_path / 'c.json', content), str(tmp_path))
