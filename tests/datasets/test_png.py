import json
import shutil
from pathlib import Path

import pytest

from flmm.datasets import PNGDataset
from flmm.datasets.transforms import LoadImage, LoadMasks
from flmm.structures import SkippedSample
from flmm.utils.errors import AnnotationError, InputFileError

COCO = Path(__file__).parents[1] / 'data' / 'f_lmm_data' / 'data' / 'coco'
NARRATIVES = 'annotations/png_coco_val2017.json'
PANOPTIC = 'annotations/panoptic_val2017.json'


def png(root, **options):
    return PNGDataset(
        ann_file=str(root / NARRATIVES),
        panoptic_json=str(root / PANOPTIC),
        panoptic_root=str(root / 'annotations/panoptic_val2017'),
        image_root=str(root / 'val2017'),
        **options,
    )


@pytest.fixture
def edited(tmp_path):
    """Build the dataset after a change of one of its files."""

    def build(change, file=NARRATIVES, **options):
        shutil.copytree(COCO, tmp_path / 'coco', dirs_exist_ok=True)
        content = json.loads((COCO / file).read_text())
        content = change(content) or content
        (tmp_path / 'coco' / file).write_text(json.dumps(content))
        return png(tmp_path / 'coco', **options)

    return build


def test_utterances_are_pieces_and_those_with_segments_phrases():
    dataset = png(COCO)
    assert len(dataset) == 4
    sample = dataset[0]
    narrative = json.loads((COCO / NARRATIVES).read_text())[0]
    assert [piece.text for piece in sample.pieces] == [
        segment['utterance'] for segment in narrative['segments']
    ]
    assert [piece.phrase for piece in sample.pieces] == [-1, 0, -1, 1, -1, 2, -1]
    assert [phrase.text for phrase in sample.phrases] == ['is with', 'two,', 'standing is .']
    assert sample.image_path.endswith('val2017/000000001001.jpg')
    assert sample.meta == {'image_id': 1001, 'file_name': '000000001001.jpg'}


def test_a_mask_is_the_union_of_the_segments():
    sample = png(COCO, pipeline=[LoadImage(), LoadMasks()])[0]
    # Areas of the segments as panoptic_val2017.json states them.
    assert sample.gt_masks.sum((1, 2)).tolist() == [4, 402, 402 + 948 + 1663]


def test_plural_phrases_count_as_things_unless_asked_otherwise(edited):
    def all_stuff(narratives):
        narratives[0]['segments'][5]['segment_ids'] = ['11308125']

    assert [p.isthing for p in png(COCO)[2].phrases] == [True, False, True]
    assert edited(all_stuff)[0].phrases[2].isthing
    own = edited(all_stuff, plural_as='own')[0].phrases[2]
    assert own.plural and not own.isthing
    with pytest.raises(ValueError, match='plural_as'):
        png(COCO, plural_as='stuff')


def test_phrases_without_a_segment_stay_text_and_are_noted(edited):
    def remove(narratives):
        narratives[0]['segments'][5]['segment_ids'] = []
        narratives[0]['segments'][1]['segment_ids'] = ['999']

    sample = edited(remove)[0]
    assert [phrase.text for phrase in sample.phrases] == ['two,']
    assert sample.dropped == [('is with', 'no_segment'), ('standing is .', 'no_segment')]
    assert [piece.phrase for piece in sample.pieces] == [-1, -1, -1, 0, -1, -1, -1]


def test_a_narrative_without_phrases_is_skipped_and_not_replaced():
    item = png(COCO, name='toy')[3]
    assert isinstance(item, SkippedSample)
    assert (item.sample_id, item.reason) == ('toy/3', 'no_phrase')


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        (lambda n: n[0].update(image_id='77'), 'image 77'),
        (lambda n: n[0].update(image_id='dog'), 'dog'),
        (lambda n: n[0].pop('segments'), 'segments'),
        (lambda n: n[0]['segments'][0].pop('segment_ids'), 'segment_ids'),
        (lambda n: n[0]['segments'][0].update(utterance=None), 'utterance'),
        (lambda n: n[0].update(segments=['a']), r'\[0\]'),
        (lambda n: n.__setitem__(0, 5), r'\[0\]'),
    ],
)
def test_a_malformed_narrative_is_skipped_alone(edited, change, named):
    dataset = edited(lambda narratives: change(narratives) and None)
    with pytest.raises(AnnotationError, match=named):
        dataset.read_sample(0)
    assert dataset[0].reason == 'annotation_invalid'
    assert not isinstance(dataset[1], SkippedSample)


def test_file_names_cannot_leave_their_roots(edited):
    def escape(panoptic):
        panoptic['images'][0]['file_name'] = '../../secret.jpg'
        panoptic['annotations'][1]['file_name'] = '/etc/passwd'

    dataset = edited(escape, file=PANOPTIC)
    for index in (0, 1):
        assert dataset[index].reason == 'annotation_invalid'
        assert 'outside this folder' in dataset[index].detail


def test_files_of_another_format_say_so(edited):
    with pytest.raises(AnnotationError, match='list of narratives'):
        edited(lambda _: {'a': 1})
    with pytest.raises(AnnotationError, match='segments_info'):
        edited(lambda _: {'images': []}, file=PANOPTIC)
    with pytest.raises(InputFileError, match='no such file'):
        png(Path('nowhere'))
