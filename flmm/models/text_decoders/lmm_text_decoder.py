"""The language model of an LMM as a captioning system's text model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flmm.registry import MODELS
from flmm.structures import ImageGrid

from .visual_projection import VisualProjection


@MODELS.register_module()
class LMMTextDecoder(nn.Module):
    """Write captions of prompted places with the pretrained language model of an LMM.

    A caption reads as one turn of the LMM's own chat: what comes before the image, the cells of
    the image as the LMM knows them, the place's tokens, the context as the request, and the
    caption as the answer. So what the LMM knows of images and words is there from the first step.
    The cells are read once for all captions of an image.

    Shapes: B captions, I images, h w cells, M tokens of a place, Q words of a context, T words, C
    channels of the language model, V words in the vocabulary.

    Args:
        lmm: Config of a decoder-only LMM of transformers (:class:`HFLMM`); with adapters
            (``dict(lora, lmm=lmm)``) they alone train. Only its language model is kept.
        tokenizer: Of the LMM, see :func:`flmm.models.lmms.processor.build_tokenizer`.
        visual_channels: Channels of a place's tokens.
        chat_template: The LMM's, see :func:`flmm.models.lmms.chat_templates.render_turn`.
        image_token: The tokenizer's token for an image; what stands around it is the chat's.
        layers: Layers whose hidden states are given, each normalised, one behind the other;
            negative ones count from the last.
        attention: Also give where every attention map of a word looks among the cells: 8 further
            channels for each (two centres and their spreads), see :func:`attention_places`.
        maps: Also give the maps themselves, for an :class:`AttentionPointHead`.
        learn_cells: Also learn from how the image's cells are read. Without, gradients stop at what
            the captions read of them: most of the time of a step is saved, and a pretrained LMM
            reads images already.
        max_length: Longest caption.
        begin_id: Stands in captions for the last token of the request; never read.
        end_id: Id of a caption's last token: the LMM's end of sequence.
        pad_id: Id that fills short captions and contexts.

    Raises:
        ValueError: ``image_token`` is no token of the tokenizer.
    """

    def __init__(
        self,
        lmm: dict,
        tokenizer: Any,
        visual_channels: int,
        chat_template: str = 'vicuna',
        image_token: str = '<image>',
        layers: Sequence[int] = (-1,),
        attention: bool = False,
        maps: bool = False,
        learn_cells: bool = True,
        max_length: int = 256,
        begin_id: int = 1,
        end_id: int = 2,
        pad_id: int = 0,
    ) -> None:
        super().__init__()
        # Takes seconds to import.
        from flmm.models.lmms.processor import build_tokenizer

        built = MODELS.build(lmm)
        self.decoder = built.decoder()
        words = built.model.get_input_embeddings()
        if words not in set(self.decoder.modules()):
            self.embeddings = words
        # In a list: as a submodule it would give the decoder's weights a second name.
        self._words = [words]
        self.output = built.model.get_output_embeddings()
        count = built.num_layers
        self.layers = tuple(layer % count for layer in layers)
        self.attention, self.maps, self.learn_cells = attention, maps, learn_cells
        self.max_length = max_length
        self.begin_id, self.end_id, self.pad_id = begin_id, end_id, pad_id
        size = built.hidden_size
        self.channels = len(self.layers) * size + 8 * attention * count * built.num_heads
        before, after = _around_the_request(build_tokenizer(tokenizer), chat_template, image_token)
        self.register_buffer('before', torch.tensor(before, dtype=torch.int64), persistent=False)
        self.register_buffer('after', torch.tensor(after, dtype=torch.int64), persistent=False)
        self.place_projection = VisualProjection(visual_channels, size)
        # Places start as long as words.
        scale = self.words.weight.detach().float().square().mean().sqrt().item()
        nn.init.constant_(self.place_projection.norm.weight, scale)

    @property
    def words(self) -> nn.Module:
        """The embeddings of the vocabulary."""
        return self._words[0]

    def forward(
        self,
        tokens: Tensor,
        visual: Tensor,
        context: Tensor | None = None,
        cells: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Read captions.

        Args:
            tokens: ``(B, T)`` ids, the first one ``begin_id``.
            visual: ``(B, M, visual_channels)``.
            context: ``(B, Q)`` ids without begin and end, filled with ``pad_id``.
            cells: ``(I, h, w, C)`` in the LMM's space, of images with B / I captions each.

        Returns:
            Logits of the next word ``(B, T, V)``, states ``(B, T, channels)``, with ``maps`` the
            words' attention to the cells ``(B, T, M, h, w)``.

        Raises:
            ValueError: Captions longer than ``max_length``, or no cells to attend to.
        """
        if cells is None and (self.attention or self.maps):
            raise ValueError(
                'LMMTextDecoder with attention=True or maps=True tells where words look among the '
                "image's cells, and got none. Does PixelLLM's cells_encoder name an "
                'LMMImageEncoder?'
            )
        if tokens.shape[1] > self.max_length:
            raise ValueError(
                f'LMMTextDecoder reads at most {self.max_length} tokens, got {tokens.shape[1]}. '
                'Truncate the captions, or raise max_length.'
            )
        cache, seen = self._look(len(tokens), cells)
        asked, known = self._ask(visual, context)
        words = torch.cat([asked, self.words(tokens[:, 1:])], dim=1)
        seen = torch.cat([seen, known, torch.ones_like(tokens[:, 1:])], dim=1)
        return self._run(words, seen, cache, tokens.shape[1], cells)

    @torch.no_grad()
    def generate(
        self,
        visual: Tensor,
        context: Tensor | None = None,
        max_length: int | None = None,
        cells: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Write captions greedily.

        Args:
            visual: ``(B, M, visual_channels)``.
            context: As in :meth:`forward`.
            max_length: Longest caption, begin included; by default the decoder's own.
            cells: As in :meth:`forward`.

        Returns:
            Ids ``(B, T)``, from ``begin_id`` to ``end_id``, filled with ``pad_id``; mean log
            probability of each caption's words ``(B,)``.
        """
        limit = min(max_length or self.max_length, self.max_length)
        cache, seen = self._look(len(visual), cells)
        words, known = self._ask(visual, context)
        seen = torch.cat([seen, known], dim=1)
        tokens = torch.full((len(visual), 1), self.begin_id, device=visual.device)
        total = torch.zeros(len(visual), device=visual.device)
        count, done = total.clone(), torch.zeros_like(total, dtype=torch.bool)
        while tokens.shape[1] < limit and not done.all():
            states, cache = self._decode(words, seen, cache)
            best, choice = self.output(states[:, -1]).float().log_softmax(-1).max(-1)
            total, count = total + best * ~done, count + ~done
            choice = choice.masked_fill(done, self.pad_id)
            tokens = torch.cat([tokens, choice[:, None]], dim=1)
            done = done | (choice == self.end_id)
            words, seen = self.words(choice[:, None]), F.pad(seen, (0, 1), value=1)
        return tokens, total / count.clamp(min=1)

    def _look(self, captions: int, cells: Tensor | None) -> tuple[Any, Tensor]:
        """Read what comes before the image and the image; a cache, and which tokens are seen."""
        images = captions if cells is None else len(cells)
        words = self.words(self.before).expand(images, -1, -1)
        if cells is not None:
            words = torch.cat([words, cells.flatten(1, 2).to(words)], dim=1)
        seen = torch.ones(captions, words.shape[1], dtype=torch.int64, device=words.device)
        if not words.shape[1]:
            return None, seen
        with torch.set_grad_enabled(self.learn_cells and torch.is_grad_enabled()):
            _, cache = self._decode(words, seen[:images], None)
        if captions > images:
            cache.batch_repeat_interleave(captions // images)
        return cache, seen

    def _ask(self, visual: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """The place, the context and what follows it, and which of these tokens are seen."""
        after = self.words(self.after).expand(len(visual), -1, -1)
        parts = [self.place_projection(visual).to(after)]
        known = [torch.ones(visual.shape[:2], dtype=torch.int64, device=visual.device)]
        if context is not None:
            parts.append(self.words(context))
            known.append((context != self.pad_id).long())
        known.append(torch.ones(after.shape[:2], dtype=torch.int64, device=visual.device))
        return torch.cat([*parts, after], dim=1), torch.cat(known, dim=1)

    def _run(
        self, words: Tensor, seen: Tensor, cache: Any, count: int, cells: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Logits, states and maps of the last ``count`` tokens."""
        from flmm.models.lmms.hidden_states import watch_hidden_states
        from flmm.models.lmms.tail_attention import TailAttention

        kept: dict[int, Tensor] = {}

        def keep(layer: int, states: Tensor) -> None:
            if layer in self.layers:
                kept[layer] = states[:, -count:]

        start = len(self.before)
        grid = (0, 0) if cells is None else cells.shape[1:3]
        tail = TailAttention(count, start, start + grid[0] * grid[1])
        with ExitStack() as watched:
            watched.enter_context(watch_hidden_states(self.decoder, keep))
            if self.attention or self.maps:
                watched.enter_context(tail.active())
            states, _ = self._decode(words, seen, cache)
        logits = self.output(states[:, -count:])
        # Deeper layers are larger and would drown the others.
        read = [F.layer_norm(kept[i].float(), kept[i].shape[-1:]) for i in self.layers]
        maps = [tail.maps()] if self.attention or self.maps else []
        if self.attention:
            read.append(_places(maps[0], grid))
        states = torch.cat(read, dim=-1)
        return (logits, states, maps[0].unflatten(-1, grid)) if self.maps else (logits, states)

    def _decode(self, words: Tensor, seen: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Continue sequences: last hidden states of ``words``, and the longer cache."""
        positions = (seen.cumsum(1) - 1).clamp(min=0)[:, -words.shape[1] :]
        output = self.decoder(
            inputs_embeds=words,
            attention_mask=seen,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        return output.last_hidden_state, output.past_key_values


def _around_the_request(
    tokenizer: Any, chat_template: str, image_token: str
) -> tuple[list[int], list[int]]:
    """Ids of what a chat writes before the image and behind the request."""
    from flmm.models.lmms.chat_templates import render_turn

    ids = list(tokenizer(render_turn(chat_template, image_token))['input_ids'])
    image = tokenizer.convert_tokens_to_ids(image_token)
    if ids.count(image) != 1:
        raise ValueError(
            f"The tokenizer does not read {image_token!r} as one token. Name the LMM's image "
            'token with image_token=...'
        )
    place = ids.index(image)
    return ids[:place], ids[place + 1 :]


def _places(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """Where maps ``(B, T, K, h * w)`` look, ``(B, T, 8 * K)``."""
    from flmm.models.point_heads import attention_places

    height, width = grid
    cells = ImageGrid(torch.arange(height * width).view(height, width), (0, 0, width, height))
    flat = maps.flatten(0, 1).unflatten(-1, (height, width))
    return attention_places(flat, cells, (height, width), spread=True).unflatten(0, maps.shape[:2])
