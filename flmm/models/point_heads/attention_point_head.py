"""A location for every token, read off where its attention maps look."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flmm.registry import MODELS


@MODELS.register_module()
class AttentionPointHead(nn.Module):
    """Put a token's attention maps together into one map per point, and take its place.

    PixelLLM's head (:class:`MLPPointHead`) reads a place out of hidden states alone, which a
    language model must learn to put there. Attention maps of a grounded LMM show it already, as in
    F-LMM (arXiv 2406.05821): here the hidden states only say which maps to trust. A map's place is
    the mean of its cells weighted by their probabilities (soft-argmax), which learns from distances
    in pixels; what that mean leaves over, such as the way to a box's corner, an MLP adds.

    A word that could mean two objects has two peaks, and their mean lies in neither: outside of
    training only the cells around the highest one count (``window``).

    Shapes: ... any axes (images, captions, tokens), C channels, M attention maps of h x w cells, K
    points.

    Args:
        in_channels: C of the hidden states.
        num_maps: M.
        num_points: K.
        hidden_channels: Width of the MLPs that read hidden states.
        map_channels: Width of the convolutions over maps.
        window: Cells on each side of the highest one that count; 0 for all.
        power: Maps are scaled to a peak of 1 and raised to it; below 1 faint cells count more.
        reach: How far the MLP moves a point for an output of 1, as a share of the grid.

    Raises:
        ValueError: Sizes below 1, or a negative window.
    """

    #: What :class:`~flmm.models.systems.PixelLLM` must hand over beside the hidden states.
    reads_maps = True

    def __init__(
        self,
        in_channels: int,
        num_maps: int,
        num_points: int = 2,
        hidden_channels: int = 256,
        map_channels: int = 32,
        window: int = 2,
        power: float = 0.5,
        reach: float = 0.2,
    ) -> None:
        super().__init__()
        if min(in_channels, num_maps, num_points) < 1 or window < 0:
            raise ValueError(
                'AttentionPointHead expects in_channels, num_maps and num_points of at least 1 '
                f'and a window of at least 0, got {in_channels}, {num_maps}, {num_points} and '
                f'{window}.'
            )
        self.in_channels, self.num_maps, self.num_points = in_channels, num_maps, num_points
        self.window, self.power, self.reach = window, power, reach
        self.norm = nn.LayerNorm(in_channels)
        self.trust = _mlp(in_channels, hidden_channels, num_maps * num_points)
        self.modulate = _mlp(in_channels, hidden_channels, 2 * map_channels)
        # Two more channels tell where a cell lies.
        self.squeeze = nn.Conv2d(num_maps + 2, map_channels, 1)
        self.smooth = nn.Conv2d(map_channels, map_channels, 3, padding=1)
        self.score = nn.Conv2d(map_channels, num_points, 1)
        self.scale = nn.Parameter(torch.tensor(5.0))
        self.move = _mlp(in_channels + 4 * num_points, hidden_channels, 2 * num_points)
        for layer in (self.trust[-1], self.modulate[-1]):
            nn.init.normal_(layer.weight, std=0.02)
        # All maps count alike at first.
        nn.init.constant_(self.trust[-1].bias, 4 / num_maps)
        nn.init.zeros_(self.move[-1].weight)
        nn.init.zeros_(self.move[-1].bias)

    def forward(self, hidden: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Locate tokens.

        Args:
            hidden: ``(..., C)``, in the weights' type.
            maps: ``(..., M, h, w)``, not negative; in float32, where the weights have half of it,
                as half has no number for the faintest.

        Returns:
            Points ``(..., K, 2)`` relative to the grid, ``(x, y)``, 0..1 from its left upper
            corner, mostly but not surely inside; scores of the cells ``(..., K, h, w)``. Both in
            float32 at least.

        Raises:
            ValueError: Another number of channels or maps.
        """
        if hidden.shape[-1] != self.in_channels or maps.shape[-3] != self.num_maps:
            raise ValueError(
                f'AttentionPointHead expects hidden states of {self.in_channels} channels and '
                f'{self.num_maps} attention maps, got {hidden.shape[-1]} and {maps.shape[-3]}. '
                'Does the config name the same language model for both?'
            )
        around, grid = hidden.shape[:-1], maps.shape[-2:]
        state = self.norm(hidden.flatten(0, -2))
        scores = _wide(self._scores(state, maps.reshape(-1, *maps.shape[-3:])))
        # In half precision places would be rounded to a pixel, and spreads be nothing but that.
        centres, spreads = _moments(self._weights(scores))
        seen = [part.flatten(1).to(state) for part in (centres, spreads)]
        left = self.move(torch.cat([state, *seen], dim=-1))
        points = centres + self.reach * _wide(left).view_as(centres)
        return (
            points.view(*around, self.num_points, 2),
            scores.view(*around, self.num_points, *grid),
        )

    def _scores(self, state: Tensor, maps: Tensor) -> Tensor:
        """Logits of cells ``(N, K, h, w)``."""
        maps = _wide(maps)
        peak = maps.amax((-2, -1), keepdim=True).clamp(min=1e-9)
        # Below 1 the power has no slope at 0.
        maps = ((maps / peak).clamp(min=1e-4) ** self.power).to(state)
        trust = self.trust(state).view(len(state), self.num_points, self.num_maps)
        mixed = torch.einsum('nkm,nmhw->nkhw', trust, maps)
        where = torch.stack(torch.meshgrid(*_centres(maps), indexing='ij')).flip(0)
        features = self.squeeze(torch.cat([maps, where.expand(len(maps), -1, -1, -1)], dim=1))
        gain, offset = self.modulate(state)[..., None, None].chunk(2, dim=1)
        features = nn.functional.gelu(features * (1 + gain) + offset)
        return self.scale * mixed + self.score(nn.functional.gelu(self.smooth(features)))

    def _weights(self, scores: Tensor) -> Tensor:
        """Probabilities of cells; outside of training only of those around the highest one."""
        weights = scores.flatten(2).softmax(-1).view_as(scores)
        if self.training or not self.window:
            return weights
        height, width = scores.shape[-2:]
        best = scores.flatten(2).argmax(-1)[..., None]
        rows, columns = (torch.arange(size, device=scores.device) for size in (height, width))
        near_row = (rows - best // width).abs() <= self.window
        near_column = (columns - best % width).abs() <= self.window
        weights = weights * near_row[..., :, None] * near_column[..., None, :]
        return weights / weights.sum((-2, -1), keepdim=True)


def _wide(numbers: Tensor) -> Tensor:
    """Half precision as float32."""
    return numbers.float() if numbers.dtype in (torch.float16, torch.bfloat16) else numbers


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


def _centres(cells: Tensor) -> list[Tensor]:
    """Middles of rows and of columns of ``(..., h, w)``, 0..1."""
    return [
        (torch.arange(size, device=cells.device, dtype=cells.dtype) + 0.5) / size
        for size in cells.shape[-2:]
    ]


def _moments(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean place and deviation ``(N, K, 2)`` of probabilities ``(N, K, h, w)``."""
    ys, xs = _centres(weights)
    columns, rows = weights.sum(-2), weights.sum(-1)
    mean = torch.stack([columns @ xs, rows @ ys], dim=-1)
    squares = torch.stack([columns @ xs**2, rows @ ys**2], dim=-1)
    # The root has no slope at 0, where all weight lies in one cell.
    return mean, (squares - mean**2).clamp(min=1e-6).sqrt()
