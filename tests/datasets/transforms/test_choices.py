"""Candidates for an answer are each written as the only thing to learn of a conversation."""

from flmm.datasets.transforms import PrepareChoices
from flmm.structures import GroundingSample


class Recorder:
    """Stands for a processor; keeps what it was given."""

    def __call__(self, sample):
        turns = [(turn.request, turn.answer, turn.supervised) for turn in sample.turns]
        return sample.sample_id, turns, sample.dropped


def sample_of(choices):
    return GroundingSample('s', meta={'choices': choices}, dropped=[('x', 'why')])


def test_each_candidate_answers_the_last_question_and_nothing_else_is_learned():
    choices = {
        'q2a': {'turns': [['Who?', None]], 'candidates': ['a', 'b'], 'label': 0},
        'qa2r': {'turns': [['Who?', 'a'], ['Why?', None]], 'candidates': ['c'], 'label': 0},
    }
    found = PrepareChoices(Recorder())(sample_of(choices)).choice_inputs
    assert found['q2a'] == [
        ('s', [('Who?', 'a', True)], []),
        ('s', [('Who?', 'b', True)], []),
    ]
    assert found['qa2r'] == [('s', [('Who?', 'a', False), ('Why?', 'c', True)], [])]


def test_a_sample_without_choices_has_none():
    sample = PrepareChoices(Recorder())(GroundingSample('s'))
    assert sample.choice_inputs == {}
