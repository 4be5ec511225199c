"""Teach an LMM's eyes: each visual token comes near the words for what it shows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, AutoProcessor

from flmm.datasets.toy.language import BOARD, square_name
from flmm.datasets.toy.patches import KINDS
from flmm.datasets.toy.scenes import COLORS, SHAPES, SIZES, TEXTURES
from flmm.registry import MODELS

_GROUPS = (KINDS, tuple(COLORS), SIZES, TEXTURES)
# Objects cover few patches, and their shape is the hardest to see.
_SHAPE_WEIGHT = 2.0
_PATTERN_LAYER = 2


@MODELS.register_module()
class VisionAlign(BaseModel):
    """Train tower, projector and word embeddings: a patch lies near its words.

    The substitute for LLaVA's first stage, where captions of half a million
    images align CLIP's features with the words of the LLM.

    Args:
        pretrained: Name or folder of a LLaVA-like model and its tokenizer.
        autocast: Compute in bfloat16 where that is safe.
    """

    def __init__(self, pretrained: str, autocast: bool = False):
        super().__init__()
        self.pretrained = pretrained
        self.autocast = autocast
        self.lmm = AutoModelForImageTextToText.from_pretrained(pretrained, dtype=torch.float32)
        self.lmm.model.language_model.layers.requires_grad_(False)
        self.lmm.model.language_model.norm.requires_grad_(False)
        tokenizer = AutoProcessor.from_pretrained(pretrained).tokenizer
        squares = tuple(square_name(r, c) for r in range(BOARD) for c in range(BOARD))
        self.word_ids = [
            [_single_token(tokenizer, word) for word in words] for words in (*_GROUPS, squares)
        ]
        channels = self.lmm.config.vision_config.hidden_size
        self.pattern_head = nn.Linear(channels, 16)
        self.offset_head = nn.Linear(channels, 2)
        self.log_scales = nn.Parameter(torch.full((len(self.word_ids),), 2.0))

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor,
        offsets: Tensor,
        patterns: Tensor,
        mode: str = 'loss',
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch of ``ToyPatches``.

        Args:
            pixel_values: (B, 3, H, W).
            labels: (B, N, 4), -100 for no label.
            offsets: (B, N, 2) to the object's centre, NaN for none.
            patterns: (B, N, 16), where in the patch an object is.
            mode: Only ``'loss'``.

        Returns:
            One loss and accuracy per kind of words; ``loss_pattern`` (from an early
            layer: outlines come before shapes) and ``loss_offset``.
        """
        if mode != 'loss':
            raise ValueError(f"VisionAlign only trains: expected mode 'loss', got {mode!r}.")
        count, cells = labels.shape[:2]
        squares = torch.arange(cells, device=labels.device).expand(count, -1)[..., None]
        labels = torch.cat([labels, squares], dim=-1)
        model = self.lmm.model
        with torch.autocast(pixel_values.device.type, torch.bfloat16, enabled=self.autocast):
            states = model.vision_tower(pixel_values, output_hidden_states=True).hidden_states
            features = states[self.lmm.config.vision_feature_layer][:, 1:]
            tokens = model.multi_modal_projector(features).float()
            pattern = self.pattern_head(states[_PATTERN_LAYER][:, 1:]).float()
            shift = self.offset_head(features).float()
        # The LLM normalises what it reads; only directions matter to it.
        tokens = F.normalize(tokens, dim=-1) * tokens.shape[-1] ** 0.5
        words = model.language_model.embed_tokens.weight
        results = {}
        for k, ids in enumerate(self.word_ids):
            name = ('kind', 'color', 'size', 'texture', 'square')[k]
            keep = labels[..., k] >= 0
            target = labels[..., k][keep]
            logits = self.log_scales[k].exp() * tokens[keep] @ words[ids].T
            loss = F.cross_entropy(logits, target, reduction='none')
            right = (logits.detach().argmax(-1) == target).float()
            results[f'loss_{name}'] = loss.mean()
            results[f'accuracy_{name}'] = right.mean()
            if name == 'kind':
                shape = target < len(SHAPES)
                results['loss_shape'] = _SHAPE_WEIGHT * loss[shape].mean()
                results['accuracy_shape'] = right[shape].mean()
        results['loss_pattern'] = 3 * F.binary_cross_entropy_with_logits(pattern, patterns)
        known = ~offsets.isnan().any(-1)
        results['loss_offset'] = 5 * (shift[known] - offsets[known]).abs().mean()
        return results

    def export(self, folder: str) -> None:
        """Write the whole LMM as a Hugging Face folder, the LM head a copy of the words.

        So what a head copies from a patch is at once a prediction.
        """
        with torch.no_grad():
            words = self.lmm.model.language_model.embed_tokens.weight
            self.lmm.lm_head.weight.copy_(words)
        self.lmm.save_pretrained(folder)
        AutoProcessor.from_pretrained(self.pretrained).save_pretrained(folder)


def _single_token(tokenizer: object, word: str) -> int:
    ids = tokenizer(word, add_special_tokens=False).input_ids
    if len(ids) != 1:
        raise ValueError(f'{word!r} is {len(ids)} tokens; the tokenizer must know it as one.')
    return ids[0]
