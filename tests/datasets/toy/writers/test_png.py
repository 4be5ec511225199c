"""Panoptic narratives of a scene by hand: segments, their picture, and who is named."""

import json

import numpy as np
from PIL import Image
from toy_by_hand import COCO_BOXES, scene_by_hand

from flmm.datasets.toy.writers.png import PanopticNarrativesWriter


def written(tmp_path):
    writer = PanopticNarrativesWriter(tmp_path)
    pieces = writer.add('train', 7, scene_by_hand(), np.random.default_rng(0))
    assert writer.add('test', 8, scene_by_hand(), np.random.default_rng(0)) == []
    writer.finish()
    folder = tmp_path / 'annotations'
    names = ('instances_train2017', 'panoptic_train2017', 'png_coco_train2017')
    return pieces, [json.loads((folder / f'{name}.json').read_text()) for name in names]


def test_colours_of_the_panoptic_picture_are_segment_ids(tmp_path):
    _, (instances, panoptic, _) = written(tmp_path)
    (entry,) = panoptic['annotations']
    with Image.open(tmp_path / 'annotations/panoptic_train2017' / entry['file_name']) as image:
        red, green, blue = np.moveaxis(np.asarray(image).astype(int), 2, 0)
    ids = red + 256 * green + 65536 * blue
    areas = {segment['id']: segment['area'] for segment in entry['segments_info']}
    assert dict(zip(*np.unique(ids, return_counts=True), strict=True)) == areas
    # Four things, sky and grass.
    assert len(areas) == 6 and sum(areas.values()) == 40 * 20
    assert [item['bbox'] for item in instances['annotations']] == COCO_BOXES
    assert [segment['bbox'] for segment in entry['segments_info'][:4]] == COCO_BOXES


def test_utterances_name_segments_by_id(tmp_path):
    pieces, (_, panoptic, (narrative,)) = written(tmp_path)
    known = {str(s['id']) for s in panoptic['annotations'][0]['segments_info']}
    assert narrative['caption'] == ' '.join(piece.text for piece in pieces)
    assert narrative['image_id'] == '7'
    for piece, segment in zip(pieces, narrative['segments'], strict=True):
        assert set(segment['segment_ids']) <= known
        assert len(segment['segment_ids']) == len(piece.objects) + len(piece.stuff)
        assert segment['noun'] == bool(segment['segment_ids'])
        assert segment['plural'] == (len(piece.objects) > 1)
