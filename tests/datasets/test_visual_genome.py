"""Visual Genome by hand: kinds of questions, several in one conversation."""

import pytest
from instruction_files import instructions_of, pairs_of, write

from flmm.datasets import VisualGenomeDataset

MAN = {'object_id': 1, 'names': ['man'], 'x': 20, 'y': 10, 'w': 40, 'h': 30}
HAT = {'object_id': 2, 'names': ['hat'], 'x': 100, 'y': 50, 'w': 20, 'h': 10}
M, H = '[0.100,0.100,0.300,0.400]', '[0.500,0.500,0.600,0.600]'
REGION = {'region_id': 5, 'image_id': 9, 'phrase': 'a tall man', 'x': 20, 'y': 10}
FILES = {
    'region_descriptions': [{'id': 9, 'regions': [{**REGION, 'width': 40, 'height': 30}]}],
    'objects': [{'image_id': 9, 'objects': [MAN, HAT]}],
    'relationships': [
        {'image_id': 9, 'relationships': [{'predicate': 'holding', 'subject': MAN, 'object': HAT}]}
    ],
}


def build(tmp_path, **options):
    paths = [write(tmp_path / f'{name}.json', content) for name, content in FILES.items()]
    return VisualGenomeDataset(*paths, str(tmp_path), **options)


def answers(dataset):
    return {answer for _, answer in pairs_of(dataset)}


def test_a_relation_is_asked_for_and_asked_along(tmp_path):
    assert answers(build(tmp_path, tasks=['relation'])) == {
        'Object1 is holding object2', H, 'hat', f'{H} hat'
    }  # fmt: skip
    alone = build(tmp_path, tasks=['predicate'])
    ((request, answer),) = pairs_of(alone)
    assert answer == 'Object1 is holding object2'
    assert f'object1: <loc>{M}</loc>' in request and f'object2: <loc>{H}</loc>' in request
    assert alone[0].meta['answers'] == [answer] and alone[0].image_path.endswith('/9.jpg')


def test_regions_are_described_and_found(tmp_path):
    assert answers(build(tmp_path, tasks=['grounding', 'region_caption'])) == {M, 'a tall man'}
    assert build(tmp_path, tasks=['grounding'])[0].phrases[0].meta['box_xyxy'] == [20, 10, 60, 40]


def test_several_questions_make_a_conversation_without_repetitions(tmp_path):
    dataset = build(tmp_path, tasks=['grounding', 'region_caption'], turns=4)
    counts = set()
    for epoch in range(20):
        dataset.set_epoch(epoch)
        asked = dataset[0].meta['instructions']
        counts.add(len(asked))
        assert len({one['template'] for one in asked}) == len(asked)
    # Only two different questions there are; at times the same one is drawn four times.
    assert counts <= {1, 2} and 2 in counts


def test_a_task_named_twice_is_drawn_twice_as_often(tmp_path):
    dataset = build(tmp_path, tasks=['counting', 'counting', 'grounding'])
    drawn = []
    for epoch in range(300):
        dataset.set_epoch(epoch)
        drawn.append(dataset[0].meta['instructions'][0]['template'])
    # Two thirds of 300, four standard deviations.
    assert 168 < sum(name.startswith('count') for name in drawn) < 232


def test_unknown_tasks_are_an_error(tmp_path):
    with pytest.raises(ValueError, match='tasks'):
        build(tmp_path, tasks=['poetry'])
    assert len(instructions_of(build(tmp_path, tasks=['counting']))) == 4
