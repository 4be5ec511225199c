"""Image -> tensors of a vision tower, and which pixels each visual token stands for.

Everything resizes with PIL: torchvision's resizing differs in the last bits and the vision
towers were trained behind PIL.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image

from flmm.registry import MODELS
from flmm.utils.boxes import Box, padded_box_xyxy
from flmm.utils.images import fit_shape, image_to_tensor, rescale_and_normalise

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
#: The factor as transformers' configs write it.
RESCALE_FACTOR = 0.00392156862745098
LLAVA_NEXT_PINPOINTS = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))


@dataclass(frozen=True)
class GridView:
    """One view of an image: a grid of cells and the pixels it covers.

    Attributes:
        shape: Rows and columns.
        box_xyxy: Rectangle of the original image in pixels; outside it where padded.
    """

    shape: tuple[int, int]
    box_xyxy: Box


@dataclass(frozen=True)
class ImageGeometry:
    """Where the resized image sits on its canvas, in pixels of the canvas.

    Attributes:
        content_shape: ``(h, w)`` of the resized image.
        padded_shape: ``(h, w)`` of the canvas.
        before: Padding ``(above, left)``.
    """

    content_shape: tuple[int, int]
    padded_shape: tuple[int, int]
    before: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class ImageTensors:
    """What an image processor makes of one image.

    Attributes:
        tensors: Arguments of the model; over a batch concatenated along the first axis.
        grids: Views, the coarsest first.
        cells: ``(N,)`` int64, for each visual token in sequence order the cell it stands for
            (cells of all grids counted on, row by row), -1 for a token that is no cell, such as
            a newline.
        geometry: Where the image sits on the canvas of the finest view.
    """

    tensors: dict[str, torch.Tensor]
    grids: tuple[GridView, ...]
    cells: torch.Tensor
    geometry: ImageGeometry = field(default=ImageGeometry((0, 0), (0, 0)))

    def positions(self, start: int) -> tuple[torch.Tensor, ...]:
        """Index of each cell's token when the first visual token stands at ``start``.

        Args:
            start: Index in the sequence.

        Returns:
            One ``(h, w)`` int64 tensor per grid.
        """
        total = sum(view.shape[0] * view.shape[1] for view in self.grids)
        position_of_cell = torch.empty(total, dtype=torch.int64)
        tokens = torch.nonzero(self.cells >= 0)[:, 0]
        position_of_cell[self.cells[tokens]] = tokens + start
        positions, first = [], 0
        for view in self.grids:
            count = view.shape[0] * view.shape[1]
            positions.append(position_of_cell[first : first + count].reshape(view.shape))
            first += count
        return tuple(positions)


class ImageProcessor(ABC):
    """What a processor needs to know of images: the one place where LMM families differ."""

    @abstractmethod
    def __call__(self, image: Image.Image) -> ImageTensors:
        """Turn an RGB image into tensors and grids."""


def _place(image: Image.Image, shape: tuple[int, int], colour: tuple[int, ...]) -> tuple:
    """Put an image in the middle of a canvas; the odd pixel goes below and right."""
    before = (shape[0] - image.height) // 2, (shape[1] - image.width) // 2
    canvas = Image.new('RGB', (shape[1], shape[0]), colour)
    canvas.paste(image, (before[1], before[0]))
    return canvas, ImageGeometry((image.height, image.width), shape, before)


def _square_grid(
    image: Image.Image, geometry: ImageGeometry, grid: tuple[int, int]
) -> tuple[tuple[GridView, ...], torch.Tensor]:
    box = padded_box_xyxy(
        (image.height, image.width),
        geometry.content_shape,
        geometry.padded_shape,
        geometry.before,
    )
    return (GridView(grid, box),), torch.arange(grid[0] * grid[1])


def _to_pixel_values(
    images: list[Image.Image], factor: float, mean: tuple, std: tuple
) -> torch.Tensor:
    """``(N, 3, h, w)`` float32."""
    pixels = np.stack([np.asarray(image) for image in images])
    return torch.from_numpy(
        np.ascontiguousarray(rescale_and_normalise(pixels, factor, mean, std).transpose(0, 3, 1, 2))
    )


@MODELS.register_module()
class PadToSquareImageProcessor(ImageProcessor):
    """Resize an image to fit a square, fill the rest with the mean colour: one grid.

    LLaVA-1.5 and HPT as F-LMM uses them (nothing is cropped away, unlike CLIP's own processor),
    and DeepSeek-VL with ``ratio_first=True, min_size=14``.

    Args:
        size: Side of the square in pixels.
        patch_size: Pixels per cell of the grid of visual tokens.
        cells: Cells per side, where they are not ``size / patch_size`` (DeepSeek-VL-7B, whose
            1024-pixel tower is pooled to 24).
        image_mean: Per channel; also the fill colour, rounded down to 8 bits.
        image_std: Per channel.
        rescale_factor: Applied before normalising.
        do_normalize: Without it, pixels are only rescaled (DeepSeek-VL-7B).
        ratio_first: How the shorter side is rounded, see ``flmm.utils.images.fit_shape``.
        min_size: Least length of the shorter side in pixels.
    """

    def __init__(
        self,
        size: int,
        patch_size: int = 14,
        cells: int | None = None,
        image_mean: tuple[float, ...] = CLIP_MEAN,
        image_std: tuple[float, ...] = CLIP_STD,
        rescale_factor: float = RESCALE_FACTOR,
        do_normalize: bool = True,
        ratio_first: bool = False,
        min_size: int = 1,
    ) -> None:
        if cells is None and size % patch_size:
            raise ValueError(
                f'size {size} is no multiple of patch_size {patch_size}; name the number of cells '
                'per side with cells=...'
            )
        self.size = size
        self.grid = (cells or size // patch_size,) * 2
        self.colour = tuple(int(value * 255) for value in image_mean)
        self.mean = tuple(image_mean) if do_normalize else (0.0, 0.0, 0.0)
        self.std = tuple(image_std) if do_normalize else (1.0, 1.0, 1.0)
        self.rescale_factor = rescale_factor
        self.ratio_first = ratio_first
        self.min_size = min_size

    def __call__(self, image: Image.Image) -> ImageTensors:
        """Process one image.

        Args:
            image: RGB image.

        Returns:
            ``pixel_values (1, 3, size, size)`` float32 and one grid.
        """
        height, width = fit_shape(
            image.height, image.width, self.size, ratio_first=self.ratio_first
        )
        resized = image.resize(
            (max(width, self.min_size), max(height, self.min_size)), Image.Resampling.BICUBIC
        )
        canvas, geometry = _place(resized, (self.size, self.size), self.colour)
        pixels = _to_pixel_values([canvas], self.rescale_factor, self.mean, self.std)
        grids, cells = _square_grid(image, geometry, self.grid)
        return ImageTensors({'pixel_values': pixels}, grids, cells, geometry)


@MODELS.register_module()
class PadOnlyImageProcessor(ImageProcessor):
    """Pad an image to a square with the mean colour and leave resizing to the model (MGM).

    Args:
        grid: Rows and columns of visual tokens.
        image_mean: Per channel in 0..1; the fill colour, rounded down to 8 bits.
    """

    def __init__(
        self, grid: tuple[int, int] = (24, 24), image_mean: tuple[float, ...] = CLIP_MEAN
    ) -> None:
        self.grid = tuple(grid)
        self.colour = tuple(int(value * 255) for value in image_mean)

    def __call__(self, image: Image.Image) -> ImageTensors:
        """Process one image.

        Args:
            image: RGB image.

        Returns:
            ``padded_image (3, S, S)`` uint8 and one grid.
        """
        side = max(image.size)
        canvas, geometry = _place(image, (side, side), self.colour)
        grids, cells = _square_grid(image, geometry, self.grid)
        return ImageTensors({'padded_image': image_to_tensor(canvas)}, grids, cells, geometry)


@MODELS.register_module()
class AnyResImageProcessor(ImageProcessor):
    """LLaVA-NeXT: the whole image squashed to a square, then tiles of the best-fitting canvas.

    The sequence holds the coarse cells, then the fine ones row by row, without the cells that
    only see padding, each row ended by a newline token.

    Args:
        size: Side of the squashed view and of a tile, in pixels.
        patch_size: Pixels per cell.
        image_grid_pinpoints: Canvases ``(height, width)`` to choose from.
        image_mean: Per channel.
        image_std: Per channel.
        rescale_factor: Applied before normalising.
    """

    def __init__(
        self,
        size: int = 336,
        patch_size: int = 14,
        image_grid_pinpoints: tuple[tuple[int, int], ...] = LLAVA_NEXT_PINPOINTS,
        image_mean: tuple[float, ...] = CLIP_MEAN,
        image_std: tuple[float, ...] = CLIP_STD,
        rescale_factor: float = RESCALE_FACTOR,
    ) -> None:
        if size % patch_size:
            raise ValueError(f'size {size} is no multiple of patch_size {patch_size}.')
        for canvas in image_grid_pinpoints:
            if canvas[0] % size or canvas[1] % size:
                raise ValueError(f'canvas {tuple(canvas)} is not made of tiles of {size} pixels.')
        self.size = size
        self.cells_per_tile = size // patch_size
        self.canvases = tuple(tuple(canvas) for canvas in image_grid_pinpoints)
        self.mean, self.std = tuple(image_mean), tuple(image_std)
        self.rescale_factor = rescale_factor

    def __call__(self, image: Image.Image) -> ImageTensors:
        """Process one image.

        Args:
            image: RGB image.

        Returns:
            ``pixel_values (1 + tiles, 3, size, size)`` float32, ``image_sizes (1, 2)`` int64
            (height, width), and a coarse and a fine grid.
        """
        canvas, geometry = self._canvas(image)
        squashed = image.resize((self.size, self.size), Image.Resampling.BICUBIC)
        tiles = [
            canvas.crop((left, top, left + self.size, top + self.size))
            for top in range(0, canvas.height, self.size)
            for left in range(0, canvas.width, self.size)
        ]
        pixels = _to_pixel_values([squashed, *tiles], self.rescale_factor, self.mean, self.std)
        grids, cells = self._layout(image, geometry.padded_shape)
        sizes = torch.tensor([[image.height, image.width]])
        return ImageTensors({'pixel_values': pixels, 'image_sizes': sizes}, grids, cells, geometry)

    def _canvas(self, image: Image.Image) -> tuple[Image.Image, ImageGeometry]:
        """Resize the image onto the canvas that keeps most of its pixels."""
        height, width = self.best_canvas(image.height, image.width)
        scale_y, scale_x = height / image.height, width / image.width
        # The shorter side is rounded up, as transformers does.
        if scale_x < scale_y:
            content = min(int(np.ceil(image.height * scale_x)), height), width
        else:
            content = height, min(int(np.ceil(image.width * scale_y)), width)
        resized = image.resize((content[1], content[0]), Image.Resampling.BICUBIC)
        return _place(resized, (height, width), (0, 0, 0))

    def best_canvas(self, height: int, width: int) -> tuple[int, int]:
        """Canvas that keeps most pixels of an image; among equals the one that wastes least.

        Args:
            height: Of the image.
            width: Of the image.

        Returns:
            ``(height, width)``.
        """

        def merit(canvas: tuple[int, int]) -> tuple[int, int]:
            scale = min(canvas[1] / width, canvas[0] / height)
            kept = min(int(width * scale) * int(height * scale), width * height)
            return kept, kept - canvas[0] * canvas[1]

        return max(self.canvases, key=merit)  # the first of equals

    def fine_shape(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the fine grid, cells that only see padding cut off.

        Args:
            height: Of the image.
            width: Of the image.

        Returns:
            ``(rows, columns)``, without the newline column.
        """
        canvas = self.best_canvas(height, width)
        rows, columns = (side // self.size * self.cells_per_tile for side in canvas)
        # float32 as in the release, whose image sizes are tensors: the rounding decides.
        high, wide = np.float32(height), np.float32(width)
        if wide / high > columns / rows:
            filled = int(high * (np.float32(columns) / wide))
            rows -= 2 * ((rows - filled) // 2)
        else:
            filled = int(wide * (np.float32(rows) / high))
            columns -= 2 * ((columns - filled) // 2)
        return rows, columns

    def _layout(
        self, image: Image.Image, canvas: tuple[int, int]
    ) -> tuple[tuple[GridView, GridView], torch.Tensor]:
        # Both views are read as the whole image: cutting at whole cells moves the borders of
        # the fine grid by less than a cell, which the release ignores.
        box = (0.0, 0.0, float(image.width), float(image.height))
        coarse = (self.cells_per_tile, self.cells_per_tile)
        rows, columns = self.fine_shape(image.height, image.width)
        coarse_cells = torch.arange(coarse[0] * coarse[1])
        fine_cells = torch.arange(rows * columns).reshape(rows, columns) + len(coarse_cells)
        with_newlines = torch.nn.functional.pad(fine_cells, (0, 1), value=-1)
        cells = torch.cat([coarse_cells, with_newlines.flatten()])
        return (GridView(coarse, box), GridView((rows, columns), box)), cells
