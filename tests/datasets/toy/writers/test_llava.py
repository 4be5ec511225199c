"""LLaVA's conversations: training scenes are those of no other format."""

import json

import numpy as np
from toy_by_hand import scene_by_hand

from flmm.datasets.toy.writers.llava import LlavaWriter


def test_talk_trains_val_tests_and_grounding_scenes_are_left_out(tmp_path):
    writer = LlavaWriter(tmp_path)
    for image_id, split in enumerate(('talk', 'val', 'train', 'test')):
        writer.add(split, image_id, scene_by_hand(), np.random.default_rng(0))
    writer.finish()
    root = tmp_path / 'llava'
    entries = {
        part: json.loads((root / f'conversations_{part}.json').read_text())
        for part in ('train', 'val')
    }
    assert {part: [entry['id'] for entry in own] for part, own in entries.items()} == {
        'train': ['0'],
        'val': ['1'],
    }
    (entry,) = entries['train']
    assert (root / entry['image']).is_file()
    turns = entry['conversations']
    assert [turn['from'] for turn in turns] == ['human', 'gpt'] * (len(turns) // 2)
    assert turns[0]['value'].startswith('<image>\n')
    assert not any('<image>' in turn['value'] for turn in turns[1:])
    assert all(turn['value'] for turn in turns)
