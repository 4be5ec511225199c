"""Naming pixels: one batch is learned, the prompt encoder stays."""

import torch

from flmm.datasets.toy.pixels import ToyPixels
from flmm.models.mask_refiners.tiny_sam import write_untrained_tiny_sam
from flmm.models.systems.sam_pretrain import SAMPretrain


def test_one_batch_is_learned_and_the_transformer_of_the_decoder_stays(tmp_path):
    write_untrained_tiny_sam(tmp_path)
    torch.manual_seed(0)
    dataset = ToyPixels(2)
    batch = {k: torch.stack([dataset[0][k], dataset[1][k]]) for k in dataset[0]}
    model = SAMPretrain(str(tmp_path))
    before = {k: v.clone() for k, v in model.sam.mask_decoder.transformer.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    losses = []
    for _ in range(8):
        results = model(**batch)
        loss = results['loss_kind'] + results['loss_color'] + results['loss_offset']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    after = model.sam.mask_decoder.transformer.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
