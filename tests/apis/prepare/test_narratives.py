import json

import pytest

from flmm.apis.prepare import check_narratives
from flmm.datasets import LocalizedNarrativesDataset
from flmm.utils.errors import AnnotationError

NARRATIVE = {
    'dataset_id': 'mscoco_val2017',
    'image_id': '137576',
    'annotator_id': 93,
    'caption': 'A red ball on grass.',
    'timed_caption': [
        {'utterance': 'A red ball', 'start_time': 0.0, 'end_time': 1.0},
        {'utterance': 'on grass.', 'start_time': 1.0, 'end_time': 2.0},
    ],
    'traces': [[{'x': 0.1, 'y': 0.2, 't': 0.0}, {'x': 0.5, 'y': 0.6, 't': 2.0}]],
    'voice_recording': 'x.ogg',
}


def written(tmp_path, *changes):
    lines = [json.dumps({**NARRATIVE, **change}) for change in changes]
    path = tmp_path / 'coco_val_localized_narratives.jsonl'
    path.write_text('\n'.join(lines))
    (tmp_path / 'out').mkdir()
    return path


def test_usable_narratives_are_kept_as_they_were(tmp_path):
    images = tmp_path / 'images'
    images.mkdir()
    (images / '000000137576.jpg').write_bytes(b'')
    source = written(
        tmp_path,
        {},
        {'traces': [[{'x': 'left', 'y': 0, 't': 0}]]},
        {'traces': []},
        {'caption': 'Nothing of it was said'},
        {'image_id': '5'},
    )
    counts = check_narratives(source, tmp_path / 'out', str(images))
    assert counts == dict(narratives=1, words=5, malformed=1, no_trace=2, no_image=1)
    copy = tmp_path / 'out' / source.name
    before = LocalizedNarrativesDataset(str(source), str(images)).read_sample(0)
    after = LocalizedNarrativesDataset(str(copy), str(images))
    assert len(after) == 1 and after.read_sample(0).phrases == before.phrases
    assert 'voice_recording' not in copy.read_text()


def test_without_an_image_folder_images_are_not_looked_for(tmp_path):
    source = written(tmp_path, {}, {'image_id': '5'})
    assert check_narratives(source, tmp_path / 'out')['narratives'] == 2


def test_a_file_of_something_else_is_an_error(tmp_path):
    source = written(tmp_path, {})
    source.write_text('{"image_id": 1}')
    with pytest.raises(AnnotationError, match='caption'):
        check_narratives(source, tmp_path / 'out')
