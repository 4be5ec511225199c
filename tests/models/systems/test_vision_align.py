"""Aligning eyes and words: one batch is learned, the language model's layers stay."""

import pytest
import torch

from flmm.datasets.toy.language import BOARD, square_name
from flmm.datasets.toy.patches import KINDS, ToyPatches
from flmm.datasets.toy.scenes import COLORS, SIZES, TEXTURES
from flmm.datasets.toy.tokenizer import train_bpe, wrap_tokenizer
from flmm.models.lmms.tiny_llava import write_untrained_tiny_llava
from flmm.models.systems.vision_align import VisionAlign


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('tiny')
    squares = [square_name(r, c) for r in range(BOARD) for c in range(BOARD)]
    words = ' '.join(['a', *KINDS, *COLORS, *SIZES, *TEXTURES, *squares])
    write_untrained_tiny_llava(path, wrap_tokenizer(train_bpe([words] * 3)))
    return str(path)


def test_one_batch_is_learned_and_the_layers_of_the_llm_stay(folder, tmp_path):
    torch.manual_seed(0)
    dataset = ToyPatches(2, folder)
    batch = {k: torch.stack([dataset[0][k], dataset[1][k]]) for k in dataset[0]}
    model = VisionAlign(folder)
    layer = model.lmm.model.language_model.layers[0].mlp.up_proj.weight
    before = layer.clone()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-3)
    losses = []
    for _ in range(8):
        results = model(**batch)
        loss = sum(value for name, value in results.items() if name.startswith('loss'))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert torch.equal(before, layer)
    model.export(str(tmp_path / 'out'))
    again = VisionAlign(str(tmp_path / 'out')).lmm
    assert torch.equal(again.lm_head.weight, again.model.language_model.embed_tokens.weight)


def test_a_tokenizer_that_splits_the_words_is_refused(tmp_path):
    write_untrained_tiny_llava(tmp_path, wrap_tokenizer(train_bpe(['a b c'] * 3)))
    with pytest.raises(ValueError, match='must know it as one'):
        VisionAlign(str(tmp_path))
