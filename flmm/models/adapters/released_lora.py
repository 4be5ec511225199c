"""The LoRAs that CoLLaVO's own LMM has inside its layers, with the interface of the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from flmm.registry import MODELS
from flmm.utils.errors import FLMMError

from .base import Adapters
from .plora import ImageTokens, PLoRALinear


class _Group:
    """Parameters of a model that are switched together; not owned, so that none has two names."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.members = parameters

    def requires_grad_(self, value: bool = True) -> None:
        for parameter in self.members:
            parameter.requires_grad_(value)


@MODELS.register_module()
class ReleasedLoRA(Adapters):
    """Choose what trains of an InternLM2 with PLoRA (arXiv 2402.11248), whose LoRAs are its own.

    The model reads the crayon map itself. Its prompt encoder counts with the crayon LoRA. What
    may train is kept in float32 whatever the base is: its updates are small.

    Attributes:
        image: The LoRAs of image tokens.
        crayon: The LoRAs of the crayon prompt, and what embeds it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.image, self.crayon = _Group([]), _Group([])
        self._layers: list[list[PLoRALinear]] = []

    def attach(self, model: nn.Module) -> None:
        """Find the LoRAs; see :meth:`Adapters.attach`.

        Args:
            model: A ``CoLLaVOForConditionalGeneration``.

        Raises:
            FLMMError: It has none.
        """
        layers = {n: one for n, one in model.named_modules() if isinstance(one, PLoRALinear)}
        crayon = getattr(getattr(model, 'model', None), 'crayon', None)
        if not layers or crayon is None:
            raise FLMMError(
                f'{type(model).__name__} has no LoRAs of its own; use DualLoRA, which hooks into '
                'any LMM.'
            )
        image: list[nn.Parameter] = []
        prompted = list(crayon.float().parameters())
        for path, layer in layers.items():
            for name, group in (('Plora', image), ('Plora_seg', prompted)):
                if name == 'Plora_seg' and path.endswith('.w2'):
                    continue  # the release has weights there that no prompt reaches
                for side in 'AB':
                    group += list(getattr(layer, f'{name}_{side}').float().parameters())
        self.image, self.crayon = _Group(image), _Group(prompted)
        self._layers = [list(layers.values())]

    @contextmanager
    def active(self, tokens: ImageTokens | None) -> Iterator[None]:
        """Nothing to do: the model finds its image tokens itself.

        Args:
            tokens: Ignored.
        """
        del tokens
        yield

    def train(self, mode: bool = True) -> ReleasedLoRA:
        """Switch the dropout, also where the model around it stays in eval mode."""
        super().train(mode)
        for layers in self._layers:
            for layer in layers:
                layer.dropout.train(mode)
        return self

    @property
    def enabled(self) -> bool:
        """Always: the released model was trained with them."""
        return True

    @enabled.setter
    def enabled(self, value: bool) -> None:
        """Refuse to switch them off."""
        if not value:
            raise FLMMError('The LoRAs of a released CoLLaVO are part of it; they stay on.')

    def weights(self) -> dict[str, Tensor]:
        """All weights, numbered within ``image`` and ``crayon``."""
        return {
            f'{name}.{index}': parameter.detach()
            for name, group in (('image', self.image), ('crayon', self.crayon))
            for index, parameter in enumerate(group.members)
        }

    def merge(self) -> None:
        """Not possible; see :meth:`Adapters.merge`.

        Raises:
            FLMMError: Always: the update depends on the token, a matrix does not.
        """
        raise FLMMError('A partial LoRA acts on image tokens only: no matrix computes the same.')
