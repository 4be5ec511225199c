"""POPE of the toy world: read back by the official format's reader, and true."""

import json
from collections import Counter

import pytest

from flmm.datasets import VQABenchmark
from flmm.datasets.toy.build import ToySettings, build_toy_world
from flmm.datasets.toy.scenes import sample_scene


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp('pope') / 'world'
    build_toy_world(root, ToySettings(num_train=0, num_val=12, formats=('pope',)), quiet=True)
    return root


def test_answers_are_true_and_half_of_them_are_yes(world):
    dataset = VQABenchmark('pope', str(world / 'pope'), str(world / 'pope/val2014'))
    scenes = {
        f'COCO_val2014_{100_001 + i:012d}.jpg': {o.shape for o in sample_scene(0, 1, i).objects}
        for i in range(12)
    }
    said = Counter()
    for index in range(len(dataset)):
        question = dataset.question(index)
        shape = question.question.split()[3]
        assert (shape in scenes[question.image]) == (question.answer == 'yes')
        said[question.category, question.answer] += 1
    assert len(dataset) and not dataset[0].meta.get('skipped')
    for setting in ('random', 'popular', 'adversarial'):
        assert said[setting, 'yes'] == said[setting, 'no'] > 0


def test_the_popular_setting_denies_what_is_frequent(world):
    rows = {
        setting: [
            json.loads(line)
            for line in (world / f'pope/coco_pope_{setting}.json').read_text().splitlines()
        ]
        for setting in ('random', 'popular', 'adversarial')
    }
    frequent = Counter(
        s for i in range(12) for s in {o.shape for o in sample_scene(0, 1, i).objects}
    )

    def denied(setting):
        names = [row['text'].split()[3] for row in rows[setting] if row['label'] == 'no']
        return sum(frequent[name] for name in names) / len(names)

    assert denied('popular') >= denied('random')
    assert all(row['question_id'] == i for i, row in enumerate(rows['random'], 1))
