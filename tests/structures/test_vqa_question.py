"""Questions are compared by what they hold and cannot be changed after they were read."""

from dataclasses import FrozenInstanceError

import pytest

from flmm.structures.vqa_question import VQAQuestion


def test_questions_are_values():
    first, same = VQAQuestion('1', 'What?', 'A'), VQAQuestion('1', 'What?', 'A')
    assert first == same != VQAQuestion('1', 'What?', 'B')
    with pytest.raises(FrozenInstanceError):
        first.answer = 'B'
    first.meta['split'] = 'val'
    assert same.meta == {}
