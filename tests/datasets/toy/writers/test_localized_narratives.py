"""Toy Localized Narratives, read back by the project's own readers."""

import json

import numpy as np
import pytest

from flmm.datasets import LocalizedNarrativesDataset, PNGDataset
from flmm.datasets.toy.build import ToySettings, build_toy_world
from flmm.datasets.toy.writers.localized_narratives import inner_point
from flmm.datasets.transforms import LastWords, LoadImage, LoadMasks
from flmm.utils.traces import utterances_of_words


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('words') / 'world'
    settings = ToySettings(seed=5, num_train=3, num_val=12, formats=('localized_narratives',))
    build_toy_world(folder, settings, quiet=True)
    return folder / 'localized_narratives'


def read(root, split):
    narratives = LocalizedNarrativesDataset(
        str(root / f'coco_{split}_localized_narratives.jsonl'),
        str(root / f'{split}2017'),
        pipeline=[LoadImage()],
    )
    nouns = PNGDataset(
        str(root / f'annotations/png_coco_{split}2017.json'),
        str(root / f'annotations/panoptic_{split}2017.json'),
        str(root / f'annotations/panoptic_{split}2017'),
        str(root / f'{split}2017'),
        pipeline=[LoadImage(), LoadMasks(), LastWords()],
    )
    return narratives, nouns


def test_the_files_have_the_real_keys_and_times(root):
    lines = (root / 'coco_val_localized_narratives.jsonl').read_text().splitlines()
    assert len(lines) == 12
    for record in map(json.loads, lines):
        assert set(record) == {
            *('dataset_id', 'image_id', 'annotator_id', 'caption', 'timed_caption', 'traces'),
            'voice_recording',
        }
        times = [(u['start_time'], u['end_time']) for u in record['timed_caption']]
        assert all(start < end for start, end in times)
        assert all(a[1] <= b[0] for a, b in zip(times, times[1:], strict=False))
        assert ' '.join(u['utterance'] for u in record['timed_caption']) == record['caption']
        positions = [p['t'] for stroke in record['traces'] for p in stroke]
        assert positions == sorted(positions) and positions[-1] >= times[-1][1]
        owners = utterances_of_words(
            record['caption'], [u['utterance'] for u in record['timed_caption']]
        )
        words = [record['caption'][a:b] for (a, b), owner in owners if owner is None]
        assert all(not word.isalnum() for word in words)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_the_trace_of_every_noun_lies_in_its_object(root, split):
    narratives, nouns = read(root, split)
    assert len(narratives) == len(nouns) > 0
    count = 0
    for index in range(len(nouns)):
        told, known = narratives[index], nouns[index]
        assert told.text == known.text
        place = {}
        start = 0
        for piece in told.pieces:
            place[start] = piece.phrase
            start += len(piece.text)
        start = 0
        for piece in known.pieces:
            if piece.phrase >= 0:
                trace = told.phrases[place[start]].meta
                mask = known.gt_masks[piece.phrase]
                points = np.array([trace['point'], *trace['trace']]) * mask.shape[::-1]
                assert mask[points[:, 1].astype(int), points[:, 0].astype(int)].all()
                count += 1
            start += len(piece.text) + 1
    assert count > len(nouns)


def test_the_same_settings_give_the_same_files(root, tmp_path):
    settings = ToySettings(seed=5, num_train=3, num_val=12, formats=('localized_narratives',))
    build_toy_world(tmp_path / 'again', settings, quiet=True)
    name = 'coco_val_localized_narratives.jsonl'
    again = tmp_path / 'again/localized_narratives' / name
    assert again.read_bytes() == (root / name).read_bytes()


def test_inner_points_are_inside_also_of_rings():
    ys, xs = np.mgrid[:41, :41]
    far = np.hypot(xs - 20, ys - 20)
    ring = (far < 18) & (far > 8)
    x, y, reach = inner_point(ring)
    assert ring[int(y), int(x)] and y < 20 and abs(x - 20.5) < 2 and 2 < reach < 6
    dot = np.zeros((5, 5), dtype=bool)
    dot[3, 1] = True
    assert inner_point(dot)[:2] == (1.5, 3.5)
