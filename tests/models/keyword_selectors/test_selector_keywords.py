from dataclasses import replace

import pytest
import torch
from PIL import Image

from flmm.models.keyword_selectors import SelectorKeywords, TokenSelector
from flmm.models.keyword_selectors.selector_keywords import answer_states
from flmm.models.keyword_selectors.token_selector import spans_of_tags
from flmm.models.lmms import HFLMM
from flmm.models.lmms.written_phrases import PhraseFinder, TracedText
from flmm.structures import GroundingSample
from flmm.utils.errors import CheckpointError
from flmm.utils.keywords import keep_objects

TEXT = 'a red circle and the blue square'
HEAD = dict(type=TokenSelector, num_layers=3, hidden_size=32)


class EveryWordButAnd(torch.nn.Module):
    """Stands for a trained head: tags by the token's place, which the test knows."""

    def __init__(self, tags):
        super().__init__()
        self.tags = tags
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, hidden):
        assert len(hidden) == len(self.tags)
        return torch.nn.functional.one_hot(torch.tensor(self.tags), 3).float()


@pytest.fixture(scope='module')
def lmm(tiny_llava):
    return HFLMM(str(tiny_llava), dtype='float32')


def question():
    return GroundingSample('q', image=Image.new('RGB', (40, 30)), prompt='<image>\nWhat is there?')


def test_tags_become_characters(lmm, tiny_processor):
    offsets = tiny_processor.tokenizer(TEXT, add_special_tokens=False, return_offsets_mapping=True)[
        'offset_mapping'
    ]
    border = TEXT.index(' and')
    tags = [1 if a == 0 else 2 if b <= border else 0 if b <= border + 4 else 2 for a, b in offsets]
    keywords = SelectorKeywords(HEAD)
    keywords.selector = EveryWordButAnd(tags)
    spans = keywords.select([TEXT, ''], [question(), question()], lmm, tiny_processor)
    assert [TEXT[a:b] for a, b in spans[0]] == ['a red circle', 'the blue square']
    assert spans[1] == []


def test_a_real_head_gives_spans_inside_the_text(lmm, tiny_processor):
    (spans,) = SelectorKeywords(HEAD).select([TEXT], [question()], lmm, tiny_processor)
    assert all(0 <= a < b <= len(TEXT) for a, b in spans)


def test_an_answer_just_written_is_tagged_by_the_states_it_was_written_with(lmm, tiny_processor):
    asked = question()
    lmm.model.generation_config.eos_token_id = None
    seen = []
    finder = PhraseFinder(tiny_processor.tokenizer, lambda own: seen.append(own) or [])
    (written,) = lmm.eval().generate_with_features([tiny_processor(asked)], finder, 6)
    (own,) = seen
    assert own.hidden.shape == (6, 3, 32)
    # The same tokens read as a text, as phrase 0.
    inputs = written.inputs
    ids = torch.full_like(inputs.phrase_ids, -1)
    ids[-6:] = 0
    (read,) = answer_states(lmm, [replace(inputs, phrase_ids=ids)])
    assert torch.allclose(own.hidden, read, rtol=1e-4, atol=1e-5)
    torch.manual_seed(0)
    keywords = SelectorKeywords(HEAD)
    expected = spans_of_tags(keywords.selector(read).argmax(-1).tolist(), own.offsets, own.text)
    assert keywords.select_written(own) == keep_objects(own.text, expected)
    assert keywords.select_written(TracedText('', [], own.hidden[:0])) == []


def test_weights_come_from_a_training_state_or_are_refused(tmp_path):
    head = TokenSelector(3, 32)
    state = {f'selector.{name}': tensor for name, tensor in head.state_dict().items()}
    torch.save({'meta': {}, 'state_dict': state}, tmp_path / 'iter_9.pth')
    loaded = SelectorKeywords(HEAD, str(tmp_path / 'iter_9.pth'))
    assert torch.equal(loaded.selector.norm.weight, head.norm.weight)
    state.pop('selector.layer_weights')
    torch.save({'state_dict': state}, tmp_path / 'half.pth')
    with pytest.raises(CheckpointError, match='layer_weights'):
        SelectorKeywords(HEAD, str(tmp_path / 'half.pth'))
