"""Fine-tuning an LMM: the loss is that of transformers, and it falls."""

import pytest
import torch

from flmm.datasets.toy.tokenizer import train_bpe, wrap_tokenizer
from flmm.models.lmms.tiny_llava import write_untrained_tiny_llava
from flmm.models.systems.lmm_finetune import LMMFineTune


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('tiny')
    write_untrained_tiny_llava(path, wrap_tokenizer(train_bpe(['USER: a star .'] * 3)))
    return str(path)


def batch_of():
    generator = torch.Generator().manual_seed(0)
    input_ids = torch.full((2, 156), 4)
    input_ids[:, 144:] = torch.randint(5, 260, (2, 12), generator=generator)
    labels = torch.full((2, 156), -100)
    labels[:, 148:] = input_ids[:, 148:]
    mask = torch.ones_like(input_ids)
    mask[1, 152:], labels[1, 152:] = 0, -100
    pixels = torch.randn(2, 3, 96, 96, generator=generator)
    return dict(input_ids=input_ids, labels=labels, attention_mask=mask, pixel_values=pixels)


def test_loss_is_that_of_transformers_with_the_mask(folder):
    model = LMMFineTune(folder).eval()
    with torch.no_grad():
        ours = model(**batch_of())['loss']
        theirs = model.lmm(**batch_of()).loss
    assert ours == pytest.approx(theirs.item(), abs=1e-4)


def test_training_lowers_the_loss_and_export_writes_a_loadable_folder(folder, tmp_path):
    model = LMMFineTune(folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(6):
        loss = model(**batch_of())['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5
    model.export(str(tmp_path / 'out'))
    again = LMMFineTune(str(tmp_path / 'out')).eval()
    with torch.no_grad():
        expected = model.eval()(**batch_of())['loss']
        assert again(**batch_of())['loss'] == pytest.approx(expected.item(), abs=1e-5)


def test_other_modes_are_refused(folder):
    with pytest.raises(ValueError, match='only trains'):
        LMMFineTune(folder)(mode='predict')
