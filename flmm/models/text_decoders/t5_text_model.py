"""A T5 that reads visual tokens and writes captions; LoRA alone trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from flmm.registry import MODELS
from flmm.utils.errors import FLMMError

from .visual_projection import VisualProjection


@MODELS.register_module()
class T5TextModel(nn.Module):
    """Write captions of prompted places with a T5 of transformers (Flan-T5-XL in PixelLLM).

    The encoder reads the visual tokens and, behind them, the context; the decoder the caption.
    The body is frozen; low-rank changes of its queries and values train (arXiv 2106.09685), and
    the projection of the visual tokens.

    Shapes: B captions, M visual tokens, Q words of the context, T words, C channels, V words in
    the vocabulary.

    Args:
        pretrained: Folder or hub name of a T5; None with ``config``.
        config: Sizes of one without weights, as ``T5Config`` takes them.
        visual_channels: Channels of a visual token.
        max_length: Longest caption and longest context.
        lora_rank: Rank of the changes; 0 for none.
        lora_scale: Their factor (``alpha / rank``).
        lora_targets: Names of the layers that are changed.
        frozen: Keep the body's weights fixed.

    Raises:
        ValueError: Both or neither of ``pretrained`` and ``config``.
        FLMMError: peft is not installed, but ``lora_rank`` is above 0.
    """

    begin_id = 0  # T5 begins with its padding
    end_id = 1
    pad_id = 0

    def __init__(
        self,
        pretrained: str | None = None,
        config: Mapping | None = None,
        visual_channels: int = 1024,
        max_length: int = 128,
        lora_rank: int = 32,
        lora_scale: float = 2.0,
        lora_targets: Sequence[str] = ('q', 'v'),
        frozen: bool = True,
    ) -> None:
        super().__init__()
        if (pretrained is None) == (config is None):
            raise ValueError('T5TextModel takes either pretrained or config.')
        # transformers takes seconds to import.
        from transformers import T5Config, T5ForConditionalGeneration

        if pretrained is not None:
            self.t5 = T5ForConditionalGeneration.from_pretrained(pretrained)
        else:
            self.t5 = T5ForConditionalGeneration(T5Config(**config))
        self.t5.requires_grad_(not frozen)
        if lora_rank:
            _add_lora(self.t5, lora_rank, lora_scale, lora_targets)
        self.channels = self.t5.config.d_model
        self.max_length = max_length
        self.visual_projection = VisualProjection(visual_channels, self.channels)

    def forward(
        self, tokens: Tensor, visual: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Read captions.

        Args:
            tokens: ``(B, T)`` ids, the first one ``begin_id``.
            visual: ``(B, M, visual_channels)``.
            context: ``(B, Q)`` ids, filled with ``pad_id``.

        Returns:
            Logits of the next word ``(B, T, V)``, hidden states ``(B, T, C)``.

        Raises:
            ValueError: Captions or contexts longer than ``max_length``.
        """
        return self._decode(tokens, *self._encode(visual, context))

    @torch.no_grad()
    def generate(
        self, visual: Tensor, context: Tensor | None = None, max_length: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Write captions greedily.

        Args:
            visual: ``(B, M, visual_channels)``.
            context: As in :meth:`forward`.
            max_length: Longest caption, begin included; by default the model's own.

        Returns:
            Ids ``(B, T)``, from ``begin_id`` to ``end_id``, filled with ``pad_id``; mean log
            probability of each caption's words ``(B,)``.
        """
        limit = min(max_length or self.max_length, self.max_length)
        encoded = self._encode(visual, context)
        tokens = torch.full((len(visual), 1), self.begin_id, device=visual.device)
        total = visual.new_zeros(len(visual), dtype=torch.float32)
        count, done = total.clone(), torch.zeros_like(total, dtype=torch.bool)
        while tokens.shape[1] < limit and not done.all():
            logits, _ = self._decode(tokens, *encoded)
            best, choice = logits[:, -1].float().log_softmax(-1).max(-1)
            total, count = total + best * ~done, count + ~done
            choice = choice.masked_fill(done, self.pad_id)
            tokens = torch.cat([tokens, choice[:, None]], dim=1)
            done = done | (choice == self.end_id)
        return tokens, total / count.clamp(min=1)

    def _encode(self, visual: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Encoded visual tokens and context ``(B, M + Q, C)``, and which may be seen."""
        read = self.visual_projection(visual)
        seen = torch.ones(read.shape[:2], dtype=torch.long, device=read.device)
        if context is not None:
            self._check(context)
            read = torch.cat([read, self.t5.get_input_embeddings()(context).to(read)], dim=1)
            seen = torch.cat([seen, (context != self.pad_id).long()], dim=1)
        encoded = self.t5.encoder(inputs_embeds=read, attention_mask=seen)
        return encoded.last_hidden_state, seen

    def _decode(self, tokens: Tensor, encoded: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        self._check(tokens)
        # No mask of the caption: padding stands behind it, and nobody looks ahead.
        hidden = self.t5.decoder(
            input_ids=tokens,
            encoder_hidden_states=encoded,
            encoder_attention_mask=seen,
            use_cache=False,
        ).last_hidden_state
        # The first T5s share embeddings and output, which is scaled down for it; Flan-T5 does not.
        shared = self.t5.config.scale_decoder_outputs
        scaled = hidden * self.channels**-0.5 if shared else hidden
        return self.t5.lm_head(scaled), hidden

    def _check(self, ids: Tensor) -> None:
        if ids.shape[1] > self.max_length:
            raise ValueError(
                f'T5TextModel reads at most {self.max_length} tokens, got {ids.shape[1]}. '
                'Truncate the captions, or raise max_length.'
            )


def _add_lora(model: nn.Module, rank: int, scale: float, targets: Sequence[str]) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise FLMMError(f'T5TextModel with LoRA needs peft ({error}): pip install peft.') from error
    config = LoraConfig(
        r=rank, lora_alpha=scale * rank, lora_dropout=0.0, target_modules=list(targets)
    )
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        # peft freezes everything else, also where the body is to train.
        own = before.get(name.replace('.base_layer.', '.'))
        parameter.requires_grad_(own if own is not None else 'lora_' in name)
