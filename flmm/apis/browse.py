"""Look at any dataset of any config: masks, regions, maps, questions and answers drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from PIL import Image

from flmm.apis.config import load_config
from flmm.datasets.base import GroundingDataset, run_pipeline
from flmm.datasets.llava_conversations import LlavaConversations
from flmm.datasets.transforms import (
    BlurImage,
    DescribeSegments,
    LoadImage,
    LoadMasks,
    LoadPanoptic,
    LoadRegions,
    NameImage,
    Transform,
    WriteTurns,
)
from flmm.registry import DATASETS, TRANSFORMS
from flmm.structures import GroundingSample, SkippedSample, Turn
from flmm.utils.errors import FLMMError, ImageError
from flmm.utils.safe_io import open_image, resolve_under_root
from flmm.visualization import GalleryItem, draw_sample, write_gallery
from flmm.visualization.samples import sample_words

# Done to every sample, whether its config names them or not.
_LOADING = (LoadImage, LoadMasks, LoadRegions)
# What else makes a sample that people can look at, in the config's order; no LMM is needed.
_KEPT = (*_LOADING, LoadPanoptic, BlurImage, WriteTurns, NameImage, DescribeSegments)
_NO_MAP = 'no_map'


def browse(
    config: str | Path | Config,
    split: str = 'train',
    limit: int = 24,
    out: str | Path | None = None,
    cfg_options: tuple[str, ...] = (),
    part: str | None = None,
) -> tuple[Path, dict[str, int]]:
    """Write a gallery of the first samples of a dataset, of each part as many.

    Of the pipeline only those steps are taken that load pixels and put questions into words; what
    a particular LMM needs is left out, so its weights and tokenizer need not be there.

    Args:
        config: Config file or object.
        split: ``'train'``, ``'val'``, or the name of a task in ``test_dataloader``.
        limit: Number of samples.
        out: Folder of the gallery; by default ``work_dirs/browse/<config>_<split>``.
        cfg_options: ``key=value`` overrides of the config.
        part: Of a dataset of several parts only this one.

    Returns:
        Path of the gallery's ``index.html``, and how many samples there are: ``shown``,
        ``skipped``, ``total``.

    Raises:
        FLMMError: The config has no such split, or no such part, or its files cannot be used.
    """
    cfg = config if isinstance(config, Config) else load_config(config, cfg_options)
    name = Path(cfg.filename).stem if cfg.filename else 'config'
    dataset, loading = build_raw_dataset(find_dataset(cfg, split))
    ranges = part_ranges(dataset, part)
    chosen, count = choose_samples(ranges, limit), Counter()
    title = f'{name}: {split}'
    folder = Path(out or Path('work_dirs/browse') / f'{name}_{split}')
    items = _items(dataset, loading, chosen, count)
    notes = [
        f'{key}: the first {len(indices)} of {len(ranges[key])} samples, as annotated.'
        for key, indices in chosen.items()
    ]
    path = write_gallery(folder, items, title=title, notes=notes)
    total = sum(map(len, ranges.values()))
    return path, {'shown': count['shown'], 'skipped': count['skipped'], 'total': total}


def find_dataset(cfg: Config, split: str) -> Mapping[str, Any]:
    """Config of the dataset behind a split's dataloader.

    Args:
        cfg: The config.
        split: ``'train'``, ``'val'``, or a test task.

    Raises:
        FLMMError: There is no such split; the error names those there are.
    """
    loaders = {
        name: cfg[f'{name}_dataloader']
        for name in ('train', 'val')
        if cfg.get(f'{name}_dataloader')
    }
    test = cfg.get('test_dataloader') or {}
    loaders |= {'test': test} if 'dataset' in test else dict(test)
    if split not in loaders:
        raise FLMMError(
            f'{cfg.filename or "The config"} has no split {split!r}; it has '
            f'{", ".join(loaders) or "none"}.'
        )
    return loaders[split]['dataset']


def part_ranges(dataset: Any, part: str | None = None) -> dict[str, range]:
    """Where the samples of each part of a dataset lie.

    Args:
        dataset: Any; one without parts is one.
        part: Only this one.

    Raises:
        FLMMError: There is no such part; the error names those there are.
    """
    whole = {type(dataset).__name__: range(len(dataset))}
    ranges = dataset.part_ranges() if isinstance(dataset, GroundingDataset) else whole
    if part is None:
        return ranges
    if part not in ranges:
        raise FLMMError(f'The dataset has no part {part!r}; it has {", ".join(ranges)}.')
    return {part: ranges[part]}


def choose_samples(ranges: Mapping[str, range], limit: int) -> dict[str, range]:
    """The first samples of each part, as many of each as there are, ``limit`` in all.

    Args:
        ranges: See :func:`part_ranges`.
        limit: Most samples.
    """
    counts = dict.fromkeys(ranges, 0)
    left = limit
    while left and (open_ := [key for key in ranges if counts[key] < len(ranges[key])]):
        for key in open_[:left]:
            counts[key] += 1
        left -= len(open_[:left])
    return {key: own[: counts[key]] for key, own in ranges.items()}


def build_raw_dataset(dataset: Mapping[str, Any]) -> tuple[Any, list[Transform]]:
    """Build a dataset whose pipelines only load pixels and write questions.

    Args:
        dataset: Its config; may be nested (``datasets=[...]``); not changed.

    Returns:
        The dataset, and the loading steps that its config has not and that still are to be done.
    """
    kept: list[type] = []
    stripped = _strip(dataset, kept)
    missing = [step for step in _LOADING if step not in kept]
    # Talk without an image is shown as that, where its config does not say otherwise.
    options = {LoadImage: dict(optional=True)}
    return DATASETS.build(stripped), [step(**options.get(step, {})) for step in missing]


def _strip(node: Mapping[str, Any], kept: list[type]) -> dict[str, Any]:
    """Copy a dataset's config, without the steps that are not in ``_KEPT``; note which were."""
    copy = {key: node[key] for key in node}
    if 'pipeline' in copy:
        steps = [step for step in copy['pipeline'] if _step_type(step) in _KEPT]
        kept += [_step_type(step) for step in steps]
        copy['pipeline'] = [_lenient(step) for step in steps]
    for key in ('dataset', 'datasets', 'source'):
        child = copy.get(key)
        if isinstance(child, Mapping) and 'type' in child:
            copy[key] = _strip(child, kept)
        elif isinstance(child, Mapping):  # parts by name
            copy[key] = {name: _strip(item, kept) for name, item in child.items()}
        elif isinstance(child, (list, tuple)):
            copy[key] = [_strip(item, kept) for item in child]
    return copy


def _step_type(step: Mapping[str, Any]) -> type | None:
    kind = step['type']
    names = {step_type.__name__: step_type for step_type in _KEPT}
    return names.get(kind.rpartition('.')[2]) if isinstance(kind, str) else kind


def _lenient(step: Mapping[str, Any]) -> Mapping[str, Any] | Transform:
    """The step; around a panoptic map one that can do without."""
    return _AroundMap(step) if _step_type(step) in (LoadPanoptic, DescribeSegments) else step


class _AroundMap(Transform):
    """Loads or describes a panoptic map; where the segmenter's weights are not, there is none."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.step = TRANSFORMS.build(dict(config))
        self.problem = ''

    def transform(self, sample: GroundingSample) -> GroundingSample | SkippedSample:
        if isinstance(self.step, DescribeSegments) and sample.panoptic is None:
            return sample
        if not self.problem:
            try:
                return self.step.transform(sample)
            except OSError as error:  # transformers: neither a folder nor on the hub
                # Once is enough: looking for it may take long.
                self.problem = str(error).splitlines()[0]
        sample.meta[_NO_MAP] = self.problem
        return sample


def _items(
    dataset: Any,
    loading: Sequence[Transform],
    chosen: Mapping[str, range],
    count: Counter[str],
) -> Iterator[GalleryItem]:
    for part, indices in chosen.items():
        for index in indices:
            if isinstance(dataset, LlavaConversations):
                sample = _conversation(dataset, index)
            else:
                sample = dataset[index]
            if not isinstance(sample, (GroundingSample, SkippedSample)):
                raise FLMMError(
                    f'{type(dataset).__name__} gives {type(sample).__name__}, which cannot be '
                    'drawn; data sets of GroundingSample can.'
                )
            sample = run_pipeline(sample, loading)
            item = sample_item(sample)
            item.group = part
            count['skipped' if isinstance(sample, SkippedSample) else 'shown'] += 1
            yield item


def sample_item(sample: GroundingSample | SkippedSample) -> GalleryItem:
    """The card of a sample, or the line that says why it is skipped."""
    if isinstance(sample, SkippedSample):
        detail = f': {sample.detail}' if sample.detail else ''
        return GalleryItem(sample.sample_id, note=f'skipped, {sample.reason}{detail}')
    if 'instructions' in sample.meta:
        # Its config has no words for them, or none yet: ours.
        sample = WriteTurns(choose='first').transform(sample)
    if sample.image is None:
        return GalleryItem(sample.sample_id, words=sample_words(sample), note='has no image')
    notes = [f'dropped: {text} ({reason})' for text, reason in sample.dropped]
    plural = [phrase.text for phrase in sample.phrases if phrase.plural]
    stuff = [phrase.text for phrase in sample.phrases if not phrase.isthing]
    notes += [f'plural: {", ".join(plural)}'] if plural else []
    notes += [f'stuff: {", ".join(stuff)}'] if stuff else []
    notes += [f'no crayon map: {sample.meta[_NO_MAP]}'] if _NO_MAP in sample.meta else []
    return GalleryItem(
        sample.sample_id,
        draw_sample(sample),
        sample_words(sample),
        note='; '.join(notes),
    )


def _conversation(dataset: LlavaConversations, index: int) -> GroundingSample | SkippedSample:
    """An entry of a conversation file: the image and the turns that are kept of it."""
    name, turns = dataset.conversations[index]
    sample_id = f'{index}: {name}'
    try:
        image: Image.Image = open_image(resolve_under_root(dataset.data_root, name))
    except ImageError as error:
        return SkippedSample(sample_id, 'image_unreadable', str(error))
    turns = [Turn(request, answer) for request, answer in turns]
    return GroundingSample(sample_id, image=image, turns=turns)
