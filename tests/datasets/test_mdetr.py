import json

import pytest

from flmm.datasets.image_safe import ImageSafe
from flmm.datasets.mdetr import MDETRDataset
from flmm.structures import SkippedSample
from flmm.utils.errors import AnnotationError


def content():
    captions = {1: ('a.jpg', 'a red dot by a tree'), 2: ('a.jpg', 'two dots'), 3: ('b.jpg', 'sky')}
    rows = [
        (1, [[0, 9]], [0, 0, 10, 10]),
        (1, [[13, 19]], [5, 5, 10, 20]),
        (2, [[0, 3], [4, 8]], [0, 0, 2, 2]),
        (2, [[0, 3], [4, 8]], [4, 4, 6, 6]),
        (3, [[0, 3]], [0, 0, 30, 5]),
    ]
    return {
        'images': [
            {'id': k, 'file_name': file, 'caption': text} for k, (file, text) in captions.items()
        ],
        'annotations': [
            {'id': n, 'image_id': k, 'tokens_positive': spans, 'bbox': box}
            for n, (k, spans, box) in enumerate(rows)
        ],
    }


@pytest.fixture
def write(tmp_path):
    def write(data, **options):
        (tmp_path / 'mdetr.json').write_text(json.dumps(data))
        return MDETRDataset(str(tmp_path / 'mdetr.json'), str(tmp_path), **options)

    return write


def test_phrases_are_the_characters_of_their_boxes(write):
    dataset = write(content())
    assert len(dataset) == 2 and dataset.sample_id(1) == 'mdetr/1'
    phrases = dataset[0].phrases
    assert [p.text for p in phrases] == ['a red dot', 'a tree', 'two dots']
    assert phrases[0].meta['box_xyxy'] == [0, 0, 10, 10]
    # Of two boxes the larger one.
    assert phrases[2].meta['box_xyxy'] == [4, 4, 10, 10]
    assert write(content(), whole_caption=True)[1].phrases[0].text == 'sky'


def test_broken_entries_are_told(write):
    data = content()
    data['annotations'][4]['bbox'] = [0, 0, 'wide', 5]
    dataset = write(data)
    assert dataset[1].reason == 'annotation_invalid' and not isinstance(dataset[0], SkippedSample)
    data = content()
    data['annotations'][4]['tokens_positive'] = []
    assert write(data)[1].reason == 'no_phrase'
    for strange in ([], {'images': [{}]}):
        with pytest.raises(AnnotationError, match='MDETR'):
            write(strange)


def test_images_of_the_tests_are_left_out(write, tmp_path):
    dataset = write(content())
    (tmp_path / 'test.json').write_text(
        json.dumps({**content(), 'annotations': content()['annotations'][4:]})
    )
    test = MDETRDataset(str(tmp_path / 'test.json'), str(tmp_path / 'elsewhere'))
    safe = ImageSafe(dataset, [test])
    assert len(safe) == 1 and safe.sample_id(0) == 'mdetr/0' and safe.metainfo['left_out'] == 1
    assert safe[0].meta['file_name'] == 'a.jpg'
    with pytest.raises(AnnotationError, match='no image'):
        ImageSafe(test, [dataset])
