"""A caption appearing word by word with its trace: the work behind ``tools/show_words.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from flmm.apis.config import load_config
from flmm.datasets import grounding_collate
from flmm.datasets.transforms import LastWords, LoadImage, LoadMasks, PrepareCaptions
from flmm.engine.atomic_write import write_atomically
from flmm.engine.checkpoint import load_trainable
from flmm.registry import DATASETS, MODELS, TRANSFORMS
from flmm.structures import GroundingSample, Phrase, SkippedSample, TextPiece
from flmm.utils.errors import FLMMError
from flmm.utils.safe_io import open_image, to_rgb
from flmm.utils.text import split_by_spans
from flmm.utils.word_tokens import word_spans
from flmm.visualization.word_traces import (
    PlacedWord,
    draw_frames,
    draw_strip,
    gif_bytes,
    trace_page,
)


def show_words(
    config: str | Path | Config,
    checkpoint: str | Path | None,
    *,
    image: str | Path | Image.Image | None = None,
    text: str | None = None,
    task: str | None = None,
    index: int = 0,
    truth: bool = False,
    out_dir: str | Path = 'work_dirs/words',
    device: str | None = None,
    cfg_options: tuple[str, ...] | list[str] = (),
) -> list[Path]:
    """Draw where the words of a caption point: a strip (PNG), an animation (GIF), a page (HTML).

    Args:
        config: An experiment of ``WordLocation`` or ``PixelLLM``.
        checkpoint: Its checkpoint; None only with ``truth``.
        image: Image file or PIL image; None takes a sample of the config's tests.
        text: What is said of ``image``; PixelLLM writes it itself if it is not given.
        task: Test task of the sample; None for the first.
        index: Of the sample within the task.
        truth: Draw the annotated traces instead of predictions.
        out_dir: Folder for the files, made if missing.
        device: Where to run; None takes a GPU when there is one.
        cfg_options: ``key=value`` overrides of the config.

    Returns:
        The three files.

    Raises:
        FLMMError: There is nothing to draw, or the options do not fit each other.
    """
    cfg = config if isinstance(config, Config) else load_config(config, list(cfg_options))
    init_default_scope('flmm')
    if truth and image is not None:
        raise FLMMError('An image of your own has no annotated traces: leave truth out.')
    if not truth and checkpoint is None:
        raise FLMMError('Predictions need a checkpoint; the annotated traces are drawn with truth.')
    loaders = cfg.get('test_dataloader') or {}
    name = task or next(iter(loaders), None)
    if name not in loaders:
        raise FLMMError(f'The config has no test task {name!r}; it has {", ".join(loaders)}.')
    if image is None:
        item = DATASETS.build(loaders[name]['dataset'])[index]
        stem = f'{name}_{index}'
    else:
        item = _own_sample(image, text, loaders[name]['dataset']['pipeline'])
        stem = 'image' if isinstance(image, Image.Image) else Path(image).stem
    if isinstance(item, SkippedSample):
        raise FLMMError(f'The sample cannot be used ({item.reason}): {item.detail}')
    words = _true_words(item) if truth else _predicted_words(cfg, checkpoint, item, device)
    if not any(word.point for word in words):
        raise FLMMError('No word has a place: there is nothing to draw.')
    return _write(item.image, words, Path(out_dir), stem)


def words_of(sample: GroundingSample, points: list[Any]) -> list[PlacedWord]:
    """All words of a sample's text, those of its phrases with their points.

    Args:
        sample: With ``pieces``.
        points: For each phrase ``(x, y)`` in pixels of the image, or None.
    """
    words = []
    for piece in sample.pieces:
        if piece.phrase < 0:
            words += [PlacedWord(word) for word in piece.text.split()]
            continue
        point = points[piece.phrase]
        own = piece.text.split()
        words += [PlacedWord(word) for word in own[:-1]]
        # The last word speaks for its phrase.
        words += [PlacedWord(own[-1], None if point is None else tuple(point))] if own else []
    return words


def _own_sample(
    image: str | Path | Image.Image, text: str | None, pipeline: list[dict]
) -> GroundingSample | SkippedSample:
    picture = to_rgb(image) if isinstance(image, Image.Image) else open_image(image, exif=True)
    sample = GroundingSample('image', image=picture, joint_tokens=True)
    spans = word_spans(text or '')
    sample.phrases = [Phrase((text or '')[start:end]) for start, end in spans]
    pieces = split_by_spans(text or '', spans)
    sample.pieces = [TextPiece(part, phrase) for part, phrase in pieces]
    steps = [TRANSFORMS.build(step) for step in pipeline]
    left_out = (LoadImage, LoadMasks, LastWords)
    steps = [LoadImage(exif=True), *(step for step in steps if not isinstance(step, left_out))]
    if not text:
        writers = [step for step in steps if isinstance(step, PrepareCaptions)]
        if not writers:
            raise FLMMError('This system does not write captions itself: give a text.')
        for step in writers:
            step.source, step.task = 'narrative', 'write'
    for step in steps:
        sample = step(sample)
    return sample


def _true_words(sample: GroundingSample) -> list[PlacedWord]:
    height, width = sample.ori_shape
    points = [phrase.meta.get('point') for phrase in sample.phrases]
    return words_of(sample, [p and (p[0] * width, p[1] * height) for p in points])


def _predicted_words(
    cfg: Config, checkpoint: str | Path, sample: GroundingSample, device: str | None
) -> list[PlacedWord]:
    model = MODELS.build(cfg.model).eval()
    load_trainable(model, checkpoint)
    model.to(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    batch = model.data_preprocessor(grounding_collate([sample]))
    with torch.no_grad():
        (prediction,) = model(**batch, mode='predict')
    captions = prediction.meta.get('captions')
    if captions:
        return [
            PlacedWord(word['text'], tuple(word['point'])) for word in captions[0].get('words', ())
        ]
    points = prediction.meta.get('points')
    if points is None:
        raise FLMMError('The prediction has no points: does the system have a point head?')
    return words_of(sample, points)


def _write(image: Image.Image, words: list[PlacedWord], out: Path, stem: str) -> list[Path]:
    strip = draw_strip(image, words)
    contents = {
        'gif': gif_bytes(draw_frames(image, words)),
        'html': trace_page(image, words, ' '.join(word.text for word in words)).encode(),
    }
    paths = [out / f'{stem}.png']
    write_atomically(paths[0], lambda file: strip.save(file, 'PNG'))
    for ending, content in contents.items():
        paths.append(out / f'{stem}.{ending}')
        write_atomically(paths[-1], lambda file, content=content: file.write(content))
    return paths
