"""Sample and render the scenes of the toy world.

A scene is a small picture: a ground (and often a sky or wall above a horizon)
with three to seven flat objects of a few shapes, colours, sizes and textures,
some of them in groups of equals, some partly hidden. Everything is a function
of a seed; nothing is read from disk.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

SHAPES = ('circle', 'square', 'triangle', 'star', 'ring', 'cross')
COLORS = {
    'red': (214, 40, 40),
    'green': (30, 160, 60),
    'blue': (40, 70, 220),
    'yellow': (245, 205, 30),
    'purple': (140, 50, 180),
    'white': (245, 245, 245),
}
SIZES = ('small', 'large')
TEXTURES = ('plain', 'striped', 'dotted')
UPPER_STUFF = {'sky': (176, 208, 236), 'wall': (196, 170, 160)}
LOWER_STUFF = {
    'grass': (112, 150, 84),
    'sand': (222, 200, 150),
    'water': (70, 120, 150),
    'road': (112, 112, 116),
}
STUFF = {**UPPER_STUFF, **LOWER_STUFF}

# Width, height in pixels: some square, some wide, some tall.
_CANVASES = ((128, 128), (128, 96), (96, 128), (128, 112), (112, 128))
_RADIUS = {'small': (11.5, 12.5), 'large': (21.0, 23.0)}
_TURN = 0.08  # radians
_MIN_VISIBLE = 0.6
_SUPERSAMPLING = 4


@dataclass
class ToyObject:
    """One thing of a scene.

    Attributes:
        shape: One of ``SHAPES``.
        color: A key of ``COLORS``.
        size: One of ``SIZES``.
        texture: One of ``TEXTURES``.
        center: Centre of the visible part, (x, y) in pixels.
        radius: Half of the extent before occlusion, pixels.
        angle: Rotation, radians.
        ground: The stuff under its centre.
        visible: Visible share of its area, in (0, 1].
    """

    shape: str
    color: str
    size: str
    texture: str
    center: tuple[float, float]
    radius: float
    angle: float
    ground: str = ''
    visible: float = 1.0


@dataclass
class ToyScene:
    """A rendered scene with its scene graph.

    Attributes:
        seed: What it was sampled from.
        image: RGB picture, (H, W, 3) uint8.
        label_map: (H, W) int16; ``i`` where object ``i`` is visible,
            ``-1 - j`` where stuff ``j`` is.
        objects: Things in drawing order (later ones lie in front).
        stuff: Names of the stuff regions, upper one first.
    """

    seed: tuple[int, ...]
    image: np.ndarray
    label_map: np.ndarray
    objects: list[ToyObject]
    stuff: list[str]
    _masks: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.image.shape[0]

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.image.shape[1]

    def object_mask(self, index: int) -> np.ndarray:
        """Visible part of an object, (H, W) bool."""
        return self._mask(index)

    def stuff_mask(self, index: int) -> np.ndarray:
        """Visible part of a stuff region, (H, W) bool."""
        return self._mask(-1 - index)

    def _mask(self, label: int) -> np.ndarray:
        if label not in self._masks:
            self._masks[label] = self.label_map == label
        return self._masks[label]


def sample_scene(*seed: int) -> ToyScene:
    """Sample and render the scene of a seed.

    Args:
        *seed: Non-negative integers, e.g. ``(seed, split, index)``; the same
            integers give the same scene on every machine.

    Returns:
        The scene. All its objects are at least 60 % visible.
    """
    rng = np.random.default_rng(seed)
    width, height = _CANVASES[rng.choice(len(_CANVASES), p=(0.35, 0.3, 0.15, 0.1, 0.1))]
    image, label_map, stuff = _paint_background(rng, width, height)
    objects = _place_objects(rng, _choose_attributes(rng), width, height)
    kept: list[ToyObject] = []
    alphas = [_object_alpha(item, width, height) for item in objects]
    hidden = np.zeros((height, width), bool)
    # From front to back: drop what would be hidden too much.
    keep = [False] * len(objects)
    for i in reversed(range(len(objects))):
        mask = alphas[i] > 0.5
        share = 1 - (mask & hidden).sum() / max(mask.sum(), 1)
        if share >= _MIN_VISIBLE:
            keep[i], objects[i].visible = True, float(share)
            hidden |= mask
    for item, alpha, kept_one in zip(objects, alphas, keep, strict=True):
        if not kept_one:
            continue
        paint = _texture(rng, item, width, height)
        image = image * (1 - alpha[..., None]) + paint * alpha[..., None]
        label_map[alpha > 0.5] = len(kept)
        kept.append(item)
    noise = rng.normal(0, 2.0, (height, width, 1))
    image = np.clip(image + noise, 0, 255).astype(np.uint8)
    scene = ToyScene(tuple(int(s) for s in seed), image, label_map, kept, stuff)
    _complete_graph(scene)
    return scene


def _complete_graph(scene: ToyScene) -> None:
    """Fill what depends on the rendering: visible centres, the ground below."""
    horizon = np.nonzero(scene.label_map[:, 0] == -2)[0]
    for i, item in enumerate(scene.objects):
        ys, xs = np.nonzero(scene.object_mask(i))
        item.center = (float(xs.mean()), float(ys.mean()))
        below = len(scene.stuff) == 2 and len(horizon) and item.center[1] >= horizon[0]
        item.ground = scene.stuff[1] if below else scene.stuff[0]


def _choose_attributes(rng: np.random.Generator) -> list[tuple[str, str, str, str]]:
    """(shape, color, size, texture) of each object, with distractors and groups."""
    colors, chosen = list(COLORS), []
    if rng.random() < 0.4:  # a group of equals
        equal = _random_attributes(rng, colors)
        chosen += [equal] * int(rng.integers(2, 4))
    total = int(rng.integers(3, 6)) if len(chosen) < 3 else int(rng.integers(4, 7))
    while len(chosen) < total:
        item = _random_attributes(rng, colors)
        if chosen and rng.random() < 0.6:
            # A distractor differs from an earlier object in one or two ways.
            other = chosen[int(rng.integers(len(chosen)))]
            keep = rng.permutation(4)[: int(rng.integers(1, 4))]
            item = tuple(other[k] if k in keep else item[k] for k in range(4))
        chosen.append(item)
    return chosen


def _random_attributes(rng: np.random.Generator, colors: list[str]) -> tuple[str, str, str, str]:
    return (
        SHAPES[rng.integers(len(SHAPES))],
        colors[rng.integers(len(colors))],
        SIZES[rng.integers(2)],
        TEXTURES[rng.choice(3, p=(0.6, 0.2, 0.2))],
    )


def _place_objects(
    rng: np.random.Generator, attributes: list[tuple[str, str, str, str]], width: int, height: int
) -> list[ToyObject]:
    """Give places; what finds none after some tries is left out."""
    placed: list[ToyObject] = []
    for shape, color, size, texture in sorted(attributes, key=lambda a: a[2] == 'small'):
        radius = float(rng.uniform(*_RADIUS[size]))
        gap = -0.35 * radius if rng.random() < 0.12 else 3.0  # now and then an occlusion
        for _ in range(40):
            x = float(rng.uniform(radius + 1, width - radius - 1))
            y = float(rng.uniform(radius + 1, height - radius - 1))
            if all(
                np.hypot(x - o.center[0], y - o.center[1]) > radius + o.radius + gap for o in placed
            ):
                angle = float(rng.uniform(-_TURN, _TURN))
                placed.append(ToyObject(shape, color, size, texture, (x, y), radius, angle))
                break
    return placed


def _outline(item: ToyObject) -> np.ndarray:
    """Corners of the shape around the origin, (N, 2) in units of the radius."""
    if item.shape in ('circle', 'ring'):
        t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        points = np.stack([np.cos(t), np.sin(t)], 1)
    elif item.shape == 'square':
        points = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.82
    elif item.shape == 'triangle':
        points = np.array([[0, -0.95], [0.98, 0.75], [-0.98, 0.75]])
    elif item.shape == 'star':
        t = np.arange(10) * np.pi / 5 - np.pi / 2
        r = np.where(np.arange(10) % 2 == 0, 1.0, 0.45)
        points = np.stack([r * np.cos(t), r * np.sin(t)], 1)
    else:  # cross
        a, b = 0.34, 0.95
        points = np.array([[-a, -b], [a, -b], [a, -a], [b, -a], [b, a], [a, a],
                           [a, b], [-a, b], [-a, a], [-b, a], [-b, -a], [-a, -a]])  # fmt: skip
    c, s = np.cos(item.angle), np.sin(item.angle)
    return points @ np.array([[c, s], [-s, c]])


def _object_alpha(item: ToyObject, width: int, height: int) -> np.ndarray:
    """Coverage of each pixel by the whole shape, (H, W) float in [0, 1]."""
    k = _SUPERSAMPLING
    reach = int(item.radius * 1.4) + 2  # a rotated square reaches beyond its radius
    x0, y0 = int(item.center[0]) - reach, int(item.center[1]) - reach
    side = 2 * reach + 1
    canvas = np.zeros((side * k, side * k), np.uint8)
    center = np.array(item.center) - (x0, y0)
    corners = (_outline(item) * item.radius + center) * k
    cv2.fillPoly(canvas, [np.round(corners).astype(np.int32)], 255)
    if item.shape == 'ring':
        hole = (_outline(item) * item.radius * 0.5 + center) * k
        cv2.fillPoly(canvas, [np.round(hole).astype(np.int32)], 0)
    patch = cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA) / 255.0
    alpha = np.zeros((height, width))
    top, left = max(y0, 0), max(x0, 0)
    bottom, right = min(y0 + side, height), min(x0 + side, width)
    alpha[top:bottom, left:right] = patch[top - y0 : bottom - y0, left - x0 : right - x0]
    return alpha


def _texture(rng: np.random.Generator, item: ToyObject, width: int, height: int) -> np.ndarray:
    """Paint of an object over the whole canvas, (H, W, 3) float."""
    color = np.clip(np.array(COLORS[item.color], float) + rng.uniform(-12, 12, 3), 0, 255)
    paint = np.broadcast_to(color, (height, width, 3)).copy()
    ys, xs = np.mgrid[:height, :width]
    if item.texture == 'striped':
        mask = ((xs + ys - int(sum(item.center))) % 8) < 4
    elif item.texture == 'dotted':
        dx, dy = (xs - int(item.center[0])) % 7 - 3, (ys - int(item.center[1])) % 7 - 3
        mask = dx * dx + dy * dy <= 4
    else:
        return paint
    paint[mask] = color * 0.6
    return paint


def _paint_background(
    rng: np.random.Generator, width: int, height: int
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    lower = list(LOWER_STUFF)[rng.integers(len(LOWER_STUFF))]
    image = _stuff_paint(rng, lower, width, height)
    label_map = np.full((height, width), -1, np.int16)
    if rng.random() < 0.25:
        return image, label_map, [lower]
    upper = list(UPPER_STUFF)[rng.integers(len(UPPER_STUFF))]
    horizon = int(rng.uniform(0.3, 0.65) * height)
    image[:horizon] = _stuff_paint(rng, upper, width, height)[:horizon]
    label_map[horizon:] = -2
    return image, label_map, [upper, lower]


def _stuff_paint(rng: np.random.Generator, name: str, width: int, height: int) -> np.ndarray:
    """Texture of a stuff region over the whole canvas, (H, W, 3) float."""
    color = np.array(STUFF[name], float) + rng.uniform(-10, 10, 3)
    ys, xs = np.mgrid[:height, :width]
    if name == 'grass':
        grain = rng.normal(0, 7, (height // 3 + 1, width))
        light = np.repeat(grain, 3, 0)[:height]
    elif name == 'sand':
        light = -18.0 * (rng.random((height, width)) < 0.06)
    elif name == 'water':
        light = 7 * np.sin(ys / 2.2 + 1.5 * np.sin(xs / 9 + rng.uniform(0, 6)))
    elif name == 'wall':
        light = -12.0 * ((ys % 10 == 0) | ((xs + 8 * (ys // 10 % 2)) % 16 == 0))
    elif name == 'road':
        light = rng.normal(0, 4, (height, width))
    else:  # sky
        light = 14.0 * (ys / height)
    return color + light[..., None]
