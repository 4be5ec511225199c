import torch

from flmm.datasets.transforms import AddPrompt, PrepareLMMInputs
from flmm.structures import GroundingSample, LMMInputs, Phrase, SkippedSample, TextPiece


def processor_with(*phrase_ids):
    ids = torch.tensor(phrase_ids)
    return lambda sample: LMMInputs(torch.zeros_like(ids), ids, (), (4, 6))


def sample():
    phrases = [Phrase('a dog'), Phrase('a cat')]
    pieces = [TextPiece(phrase.text, index) for index, phrase in enumerate(phrases)]
    return GroundingSample('s', phrases=phrases, pieces=pieces)


def test_the_prompt_is_added_where_there_is_none():
    assert AddPrompt('<image>Hi')(sample()).prompt == '<image>Hi'
    own = GroundingSample('s', prompt='Own')
    assert AddPrompt('<image>Hi')(own).prompt == 'Own'
    assert AddPrompt('<image>Hi', overwrite=True)(own).prompt == '<image>Hi'


def test_a_phrase_whose_tokens_were_cut_is_noted_and_stays():
    out = PrepareLMMInputs(processor_with(-1, 0, 0))(sample())
    assert len(out.phrases) == 2 and out.lmm_inputs.phrase_indices == (0,)
    assert out.dropped == [('a cat', 'truncated')]


def test_a_sample_whose_phrases_were_all_cut_is_skipped():
    out = PrepareLMMInputs(processor_with(-1, -1))(sample())
    assert isinstance(out, SkippedSample) and out.reason == 'all_phrases_truncated'
    assert [phrase.text for phrase in out.phrases] == ['a dog', 'a cat']


def test_a_prompt_without_phrases_is_no_failure():
    out = PrepareLMMInputs(processor_with(-1))(GroundingSample('s'))
    assert out.lmm_inputs is not None and out.dropped == []


def test_phrases_that_the_text_does_not_hold_are_what_is_asked_for():
    asked = GroundingSample('s', phrases=[Phrase('a dog')])
    out = PrepareLMMInputs(processor_with(-1, -1))(asked)
    assert out.lmm_inputs is not None and out.dropped == []
