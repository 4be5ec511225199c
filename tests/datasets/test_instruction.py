import random

import pytest

from flmm.datasets.instruction import (
    Chooser,
    Instruction,
    InstructionDataset,
    box_part,
    every_choice,
    location,
    mark_part,
    point_part,
)
from flmm.structures import SkippedSample
from flmm.utils.errors import AnnotationError


class Numbers(InstructionDataset):
    """Asks for one of a record's numbers."""

    def image_name(self, record):
        return record['file']

    def draw(self, record, chooser):
        if not record['numbers']:
            return None
        answer = str(chooser.choose(record['numbers']))
        return Instruction('', {'question': ['which?']}, [answer], truth={'answers': [answer]})


@pytest.fixture
def dataset(tmp_path):
    records = [
        {'file': 'a.png', 'numbers': list(range(100))},
        {'file': '../b.png', 'numbers': [1]},
        {'file': 'c.png', 'numbers': []},
        {'file': 'd.png'},
    ]
    return Numbers('file.json', records, str(tmp_path), 'numbers')


def answer(item):
    return item.meta['instructions'][0]['answer'][0]


def test_draws_depend_on_seed_epoch_and_repetition_alone(dataset):
    first = answer(dataset[0])
    assert answer(dataset[0]) == first
    assert answer(dataset.read_repetition(0, 1)) != first
    dataset.set_epoch(1)
    assert answer(dataset[0]) != first
    dataset.set_epoch(0)
    assert answer(dataset[0]) == first


# Json in Python reads NaN and Infinity, and whole numbers of any length.
@pytest.mark.parametrize('broken', [float('nan'), float('inf'), 10**400, '5', None])
@pytest.mark.parametrize(('part', 'count'), [(box_part, 4), (point_part, 2)])
def test_places_that_are_no_numbers_skip_their_sample_alone(tmp_path, broken, part, count):
    class Places(Numbers):
        def draw(self, record, chooser):
            return Instruction('', {'question': [part(record['place'])]})

    places = [[1, 2, 3, 4][:count], [1, 2, 3, broken][-count:], [1, 2, 3]]
    records = [{'file': 'a.png', 'place': place} for place in places]
    whole, bad, short = Places('file.json', records, str(tmp_path), 'places')
    assert whole.meta['instructions'][0]['fields']['question'] == [part(places[0])]
    assert bad.reason == short.reason == 'annotation_invalid'


def test_broken_records_are_skipped_with_their_reason(dataset):
    reasons = [dataset[i].reason for i in (1, 2, 3)]
    assert reasons == ['annotation_invalid', 'no_phrase', 'annotation_invalid']
    assert all(isinstance(dataset[i], SkippedSample) for i in (1, 2, 3))
    with pytest.raises(AnnotationError, match=r'\[3\]'):
        dataset.read_sample(3)


def test_an_empty_file_is_an_error(tmp_path):
    with pytest.raises(AnnotationError, match='no sample'):
        Numbers('file.json', [], str(tmp_path), 'numbers')


def test_every_choice_is_found_once():
    def draw(chooser):
        first = chooser.choose('ab')
        return first + (chooser.choose('12') if first == 'a' else '-')

    assert sorted(every_choice(draw)) == ['a1', 'a2', 'b-']
    orders = {tuple(order) for order in every_choice(lambda c: c.shuffled([1, 2, 3]))}
    assert len(orders) == 6
    assert sorted(every_choice(lambda c: c.chance(0.2))) == [False, True]


def test_shuffling_leaves_the_list_alone():
    items = [1, 2, 3, 4]
    assert sorted(Chooser(random.Random(3)).shuffled(items)) == items
    assert items == [1, 2, 3, 4]


def test_parts_are_plain():
    assert location([1, 2, 3, 4]) == {'mark': 'loc', 'parts': [{'box': [1, 2, 3, 4]}]}
    assert mark_part('des', 'x') == {'mark': 'des', 'parts': ['x']}
