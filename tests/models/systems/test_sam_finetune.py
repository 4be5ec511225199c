"""Training a SAM on prompts."""

import pytest
import torch

from flmm.models.mask_refiners.tiny_sam import write_untrained_tiny_sam
from flmm.models.systems.sam_finetune import PROMPTS, SAMFineTune


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('sam')
    write_untrained_tiny_sam(path)
    return str(path)


def batch_of():
    masks = torch.zeros(1, 2, 128, 128, dtype=torch.bool)
    masks[0, 0, 20:60, 20:60] = masks[0, 1, 70:90, 30:100] = True
    valid = torch.ones(1, 128, 128, dtype=torch.bool)
    valid[:, 100:] = False
    return {
        'pixels': torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0)),
        'valid': valid,
        'masks': masks,
        'mask_prompts': masks[..., ::2, ::2].float() * 8 - 4,
        'boxes': torch.tensor([[[20.0, 20, 60, 60], [30, 70, 100, 90]]]),
    }


@pytest.mark.parametrize('kind', PROMPTS)
def test_each_kind_of_prompt_gives_one_mask_per_prompt(folder, kind):
    model = SAMFineTune(folder).eval()
    with torch.no_grad():
        logits, scores = model.decode(batch_of(), kind)
    assert logits.shape == (1, 2, 64, 64) and scores.shape == (1, 2)


def test_prompts_of_one_image_are_decoded_as_each_alone(folder):
    model, batch = SAMFineTune(folder).eval(), batch_of()
    second = {**batch, 'mask_prompts': batch['mask_prompts'][:, 1:], 'boxes': batch['boxes'][:, 1:]}
    with torch.no_grad():
        both, alone = model.decode(batch, 'both')[0], model.decode(second, 'both')[0]
    assert torch.allclose(both[:, 1], alone[:, 0], atol=1e-4)


def test_a_few_steps_raise_the_iou(folder):
    torch.manual_seed(0)
    model = SAMFineTune(folder, prompt_chances=(1.0, 0.0, 0.0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    before = model.mean_iou(batch_of(), 'both')
    for _ in range(60):
        losses = model(**batch_of())
        optimizer.zero_grad()
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        optimizer.step()
    assert model.mean_iou(batch_of(), 'both') > max(before, 0.3)
