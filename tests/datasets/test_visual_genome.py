"""Visual Genome by hand: kinds of questions, several in one conversation."""

import pytest
from instruction_files import instructions_of, pairs_of, write

from flmm.datasets import VisualGenomeDataset
from flmm.utils.errors import AnnotationError

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


def build(tmp_path, files=FILES, **options):
    paths = [write(tmp_path / f'{name}.json', content) for name, content in files.items()]
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


def test_ends_of_relations_are_called_name_or_names(tmp_path):
    # Both spellings stand in the public relationships.json.
    subject, item = ({k: v for k, v in end.items() if k != 'names'} for end in (MAN, HAT))
    relation = {
        'predicate': 'holding',
        'subject': {**subject, 'name': 'man'},
        'object': {**item, 'name': 'hat'},
    }
    files = {**FILES, 'relationships': [{'image_id': 9, 'relationships': [relation]}]}
    assert answers(build(tmp_path, files, tasks=['relation'])) == {
        'Object1 is holding object2', H, 'hat', f'{H} hat'
    }  # fmt: skip


@pytest.mark.parametrize('content', [{'objects': []}, 5, [None], [[1]], ['9']])
@pytest.mark.parametrize('name', FILES)
def test_a_file_of_something_else_is_named(tmp_path, name, content):
    with pytest.raises(AnnotationError, match=f'{name}.json: expected a list with an object'):
        build(tmp_path, {**FILES, name: content})


def test_files_that_list_the_images_in_another_order_are_refused(tmp_path):
    other = {'image_id': 8, 'objects': [HAT]}
    more = {
        'region_descriptions': [
            *FILES['region_descriptions'],
            {'id': 8, 'regions': [{**REGION, 'image_id': 8, 'width': 4, 'height': 3}]},
        ],
        'objects': [other, *FILES['objects']],
        'relationships': [*FILES['relationships'], {'image_id': 8, 'relationships': []}],
    }
    with pytest.raises(AnnotationError, match='same order.*region_descriptions.*9.*objects.*8'):
        build(tmp_path, more)
    more['objects'].reverse()
    assert len(build(tmp_path, more)) == 2


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
