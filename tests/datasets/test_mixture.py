from collections import Counter

import pytest

from flmm.datasets import Mixture
from flmm.datasets.instruction import Instruction, InstructionDataset
from flmm.datasets.mixture import parse_mixture


class Letters(InstructionDataset):
    def image_name(self, record):
        return None

    def draw(self, record, chooser):
        return Instruction('', {'question': [record]}, [str(chooser.choose(range(10**6)))])


def make(name, count):
    return Letters('file', [f'{name}{i}' for i in range(count)], '.', name)


def test_the_releases_notation():
    assert parse_mixture('VG:6@LLaVA:0.5@O365') == {'VG': 6.0, 'LLaVA': 0.5, 'O365': 1.0}
    for wrong in ('', 'a:x', 'a@a', 'a:0', 'a:inf'):
        with pytest.raises(ValueError, match='mixture'):
            parse_mixture(wrong)


def test_repeats_come_as_often_as_asked_and_draw_anew():
    mixture = Mixture(dict(a=make('a', 3), b=make('b', 2)), 'a:2@b')
    samples = [mixture[i] for i in range(len(mixture))]
    assert [s.sample_id for s in samples] == ['a/0', 'a/1', 'a/2', 'a/0#1', 'a/1#1', 'a/2#1',
                                              'b/0', 'b/1']  # fmt: skip
    assert [mixture.sample_id(i) for i in range(len(mixture))] == [s.sample_id for s in samples]
    drawn = [s.meta['instructions'][0]['answer'][0] for s in samples]
    assert len(set(drawn)) == len(drawn)


def test_parts_lie_one_after_the_other_with_their_repetitions():
    mixture = Mixture(dict(a=make('a', 3), b=make('b', 2)), 'a:2@b:0.5')
    assert mixture.part_ranges() == {'a': range(6), 'b': range(6, 7)}
    assert make('a', 3).part_ranges() == {'a': range(3)}


def test_a_fraction_takes_other_samples_each_epoch_without_repeats():
    mixture = Mixture(dict(a=make('a', 40)), {'a': 1.25})
    assert len(mixture) == 50

    def last():
        return [mixture.locate(i)[1] for i in range(40, 50)]

    first = last()
    assert max(Counter(first).values()) == 1
    mixture.set_epoch(1)
    assert set(last()) != set(first)


def test_weights_of_unknown_sets_are_errors():
    with pytest.raises(ValueError, match='data sets are'):
        Mixture(dict(a=make('a', 1)), {'b': 2})
