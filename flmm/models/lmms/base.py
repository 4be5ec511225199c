"""The contract of an LMM: what every system asks of it, and all it may ask."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager

from torch import Tensor, nn

from flmm.structures import LMMInputs, PhraseFeatures, WrittenText


class BaseLMM(nn.Module, ABC):
    """The model half of a large multimodal model.

    The processor half (:class:`flmm.models.lmms.LMMProcessor`) runs in the dataloader's workers
    and makes :class:`LMMInputs` of an image and a text; this half turns lists of them, of
    different lengths, into a loss, features of phrases, or new text.

    Attributes:
        num_layers: L, decoder layers of the language model.
        num_heads: A, attention heads of one layer.
        hidden_size: C, channels of the language model.
        vision_channels: Width of the vision tower.
    """

    num_layers: int
    num_heads: int
    hidden_size: int
    vision_channels: int

    @abstractmethod
    def forward(self, inputs: Sequence[LMMInputs]) -> dict[str, Tensor]:
        """Language loss of samples that carry labels, for training the LMM.

        Args:
            inputs: The samples of the batch.

        Returns:
            ``{'loss_lm': scalar}``, mean over all tokens with a label.
        """

    @abstractmethod
    def phrase_features(self, inputs: Sequence[LMMInputs]) -> list[PhraseFeatures]:
        """Attention and hidden states of the phrases, in one forward of the language model.

        Args:
            inputs: The samples of the batch, each with at least one phrase token.

        Returns:
            One :class:`PhraseFeatures` for each sample.
        """

    @abstractmethod
    def generate(self, inputs: Sequence[LMMInputs], max_new_tokens: int = 128) -> list[Tensor]:
        """Continue each sequence greedily.

        Args:
            inputs: The prompts.
            max_new_tokens: Most tokens to write for each.

        Returns:
            One ``(n,)`` int64 tensor of new token ids for each sample, end token excluded.
        """

    @abstractmethod
    def generate_with_features(
        self,
        inputs: Sequence[LMMInputs],
        find_phrases: Callable[[Tensor, Tensor], Tensor],
        max_new_tokens: int = 128,
    ) -> list[WrittenText]:
        """Continue each sequence greedily and tell where the LMM looked while it wrote.

        The features are those that :meth:`phrase_features` would give of the whole text, but
        nothing is read a second time.

        Args:
            inputs: The prompts, each with an image.
            find_phrases: Called with the ``(n,)`` ids that were written and their hidden states
                ``(n, L, C)``; returns ``(n,)`` int64, the phrase that each token belongs to, -1
                for none.
            max_new_tokens: Most tokens to write for each.

        Returns:
            The text of each sample, with the features of its phrases.
        """

    @abstractmethod
    def stream(self, sample: LMMInputs, max_new_tokens: int = 128) -> Iterator[int]:
        """Continue one sequence greedily and give each token as soon as it is known.

        Args:
            sample: The prompt.
            max_new_tokens: Most tokens to write.

        Yields:
            Ids of new tokens, end token excluded.
        """

    @abstractmethod
    def region_tokens(
        self,
        inputs: Sequence[LMMInputs],
        features: Callable[[list[Tensor]], Sequence[Tensor]],
        levels: Sequence[int],
        view: str = 'first',
        padding: str = 'right',
    ) -> AbstractContextManager[None]:
        """Put vectors of regions into the sequence while a ``with`` block runs.

        Inside the block :meth:`forward` and :meth:`generate` of these samples read, in the place
        of each token at ``sample.regions.positions``, the vector that ``features`` gives.

        Args:
            inputs: The samples that are going to be read.
            features: Called with levels of the vision tower, ``(B, C, h, w)`` each, the shallowest
                first; returns ``(R, C)`` for each sample.
            levels: Which hidden states of the tower, as transformers counts them.
            view: Which tile shows the whole image, ``'first'`` or ``'last'``.
            padding: Side on which the reader pads shorter samples: :meth:`forward` on the right.
        """

    @abstractmethod
    def set_trainable(self, parts: Iterable[str]) -> None:
        """Freeze all but some parts.

        Args:
            parts: Of ``'projector'``, ``'language'`` (its embeddings and head included) and
                ``'vision'``.
        """

    @abstractmethod
    def enable_gradient_checkpointing(self) -> None:
        """Recompute layers in the backward instead of keeping what they computed."""
