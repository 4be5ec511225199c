from dataclasses import replace

import pytest
import torch

from flmm.engine.checkpoint import load_trainable
from flmm.models.keyword_selectors import ChunkKeywords, SelectorKeywords, TokenSelector
from flmm.models.lmms import HFLMM
from flmm.models.mask_heads import UNetMaskHead
from flmm.models.systems import FLMM, GroundedConversation


@pytest.fixture(scope='module')
def parts(tiny_llava):
    return dict(
        type=FLMM,
        lmm=dict(type=HFLMM, pretrained=str(tiny_llava), dtype='float32'),
        mask_head=dict(type=UNetMaskHead, in_channels=12, base_channels=4, upsample_to=12),
    )


@pytest.fixture(scope='module')
def conversation(parts, tiny_processor):
    keywords = ChunkKeywords('rules')
    return GroundedConversation(parts, tiny_processor, keywords, max_new_tokens=4).eval()


def question(make_sample, tiny_processor):
    sample = make_sample()
    asked = replace(sample, pieces=[], phrases=[], gt_masks=None)
    asked.lmm_inputs = tiny_processor(asked)
    return asked


def test_it_answers_and_grounds_what_it_named(conversation, make_sample, tiny_processor):
    asked = question(make_sample, tiny_processor)
    (prediction,) = conversation([asked.lmm_inputs], [asked])
    assert (
        prediction.text
        == tiny_processor.tokenizer.decode(
            conversation.lmm.generate([asked.lmm_inputs], 4)[0], skip_special_tokens=True
        ).strip()
    )
    spans = [tuple(span) for span in prediction.meta['spans']]
    assert [p.text for p in prediction.sample.phrases] == [prediction.text[a:b] for a, b in spans]
    assert prediction.pred_masks.shape == (len(spans), 30, 40)


@pytest.mark.parametrize('kind', ['chunks', 'selector'])
def test_an_answer_is_read_once(parts, tiny_processor, make_sample, monkeypatch, kind):
    head = dict(type=TokenSelector, num_layers=3, hidden_size=32)
    keywords = ChunkKeywords('rules') if kind == 'chunks' else SelectorKeywords(head)
    system = GroundedConversation(parts, tiny_processor, keywords, max_new_tokens=4).eval()

    def read_again(*args):
        raise AssertionError('the answer was read a second time')

    monkeypatch.setattr(system.lmm, 'phrase_features', read_again)
    asked = question(make_sample, tiny_processor)
    (prediction,) = system([asked.lmm_inputs], [asked])
    assert prediction.pred_masks.shape[0] == len(prediction.sample.phrases)


def test_masks_are_those_of_the_system_itself(conversation, make_sample, tiny_processor):
    asked = question(make_sample, tiny_processor)
    text = 'There is a red circle and the blue square.'
    grounded, empty = conversation.ground([text, 'Yes.'], [asked, asked])
    assert [p.text for p in grounded.sample.phrases] == ['a red circle', 'the blue square']
    assert empty.sample.phrases == [] or [p.text for p in empty.sample.phrases] == ['Yes']
    sample = grounded.sample
    (alone,) = conversation._system[0].predict([tiny_processor(sample)], [sample])
    assert torch.equal(alone.pred_masks, grounded.pred_masks)


def test_weights_have_the_names_of_the_system(conversation, parts, tmp_path):
    system = conversation._system[0]
    assert set(dict(conversation.named_parameters())) == set(dict(system.named_parameters()))
    state = {n: p.detach() + 1 for n, p in system.named_parameters() if p.requires_grad}
    torch.save({'meta': {}, 'state_dict': state}, tmp_path / 'x.pth')
    load_trainable(conversation, tmp_path / 'x.pth')
    name, tensor = next(iter(state.items()))
    assert torch.equal(dict(system.named_parameters())[name], tensor)


def test_the_lmm_stays_frozen_and_training_is_refused(conversation):
    conversation.train()
    assert not conversation.lmm.training
    conversation.eval()
    with pytest.raises(ValueError, match='train its system'):
        conversation([], [], mode='loss')
