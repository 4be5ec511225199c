"""Where a noun phrase ends: verbs after nouns, told from the words alone."""

import pytest

from flmm.utils.english_words import ADJECTIVES, OPENERS, VERB_FORMS, ends_noun_phrase


@pytest.mark.parametrize(
    ('before', 'word', 'ends'),
    [
        ('man', 'riding', True),
        ('man', 'rides', True),
        ('dogs', 'run', True),  # a base form follows a plural,
        ('people', 'walk', True),
        ('dog', 'run', False),  # not a singular: "a dog run" is a place
        ("dog's", 'run', False),
        ('brick', 'building', False),  # a noun in -ing
        ('girl', 'skateboarding', True),  # not in the list, but it looks like a verb
        ('a', 'standing', False),  # right after an article it is an adjective
        ('red', 'running', False),
        ('two', 'sitting', False),
        ('3', 'sitting', False),
        ('', 'running', False),
        ('man', 'hat', False),
    ],
)
def test_a_verb_behind_a_noun_ends_its_phrase(before, word, ends):
    assert ends_noun_phrase(word, before) is ends


def test_regular_and_irregular_forms_are_known():
    assert {'rides', 'riding', 'running', 'watches', 'swimming', 'flies'} <= VERB_FORMS
    assert {'rode', 'ran', 'written'} <= VERB_FORMS
    # Nouns and openers are no verbs.
    assert not {'building', 'flys', 'watchs'} & VERB_FORMS
    assert not OPENERS & ADJECTIVES
