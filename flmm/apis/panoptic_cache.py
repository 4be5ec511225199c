"""Fill a config's cache of panoptic maps before training: each image once, on any device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from mmengine.config import Config

from flmm.datasets.base import GroundingDataset
from flmm.datasets.transforms import LoadPanoptic
from flmm.models.segmenters import CachedPanoptic
from flmm.registry import DATASETS, MODELS, TRANSFORMS
from flmm.structures import GroundingSample
from flmm.utils.errors import FLMMError, InputFileError


@dataclass
class CacheJob:
    """Images whose maps one cache keeps.

    Attributes:
        name: ``'train'``, or the test task.
        dataset: The data set, without a pipeline.
        before: Steps of its pipeline before the map is loaded: the image as the segmenter sees it.
        cache: The cache with its segmenter.
    """

    name: str
    dataset: GroundingDataset
    before: list[Callable]
    cache: CachedPanoptic


def find_jobs(
    config: Config, device: str | None = None, tasks: Sequence[str] | None = None
) -> list[CacheJob]:
    """Find the data sets of a config whose pipeline asks a ``CachedPanoptic``.

    Args:
        config: With ``train_dataloader`` or ``test_dataloader``, or both.
        device: Where segmenters run that can run elsewhere than on the CPU; None: as configured.
        tasks: Only these, ``'train'`` or names of test tasks; None: all.

    Raises:
        FLMMError: There is none, or a task is unknown.
    """
    loaders: dict[str, Any] = dict(config.get('test_dataloader') or {})
    if config.get('train_dataloader'):
        loaders = {'train': config.train_dataloader, **loaders}
    unknown = sorted(set(tasks or ()) - loaders.keys())
    if unknown:
        raise FLMMError(f'The config has no task {unknown[0]!r}; it has {", ".join(loaders)}.')
    jobs, caches = [], {}
    for name, loader in loaders.items():
        if tasks is not None and name not in tasks:
            continue
        dataset = dict(loader['dataset'])
        steps = list(dataset.get('pipeline') or ())
        places = [index for index, step in enumerate(steps) if _is(step, LoadPanoptic, TRANSFORMS)]
        if not places or not _is(steps[places[0]]['segmenter'], CachedPanoptic, MODELS):
            continue
        settings = _on_device(steps[places[0]]['segmenter'], device)
        # One segmenter for all tasks that name the same.
        if repr(settings) not in caches:
            caches[repr(settings)] = MODELS.build(settings)
        built = DATASETS.build({**dataset, 'pipeline': []})
        before = [TRANSFORMS.build(step) for step in steps[: places[0]]]
        jobs.append(CacheJob(name, built, before, caches[repr(settings)]))
    if not jobs:
        raise FLMMError(
            'No data set of the config asks a CachedPanoptic for its maps: nothing to fill.'
        )
    return jobs


def _is(config: Any, kind: type, registry: Any) -> bool:
    if not isinstance(config, Mapping):
        return False
    named = config.get('type')
    return (registry.get(named) if isinstance(named, str) else named) is kind


def _on_device(settings: Mapping[str, Any], device: str | None) -> dict[str, Any]:
    settings = {**settings, 'segmenter': dict(settings['segmenter'])}
    if device is not None:
        settings['segmenter']['device'] = device
    return settings


def fill(
    job: CacheJob,
    rank: int = 0,
    world: int = 1,
    workers: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> Counter:
    """Segment the images of a data set that have no map yet.

    What a killed run has made stays made.

    Args:
        job: From :func:`find_jobs`.
        rank: Index of this process.
        world: How many processes share the images.
        workers: Threads that read images while the segmenter works.
        progress: Called with images done and images in all of this process.

    Returns:
        Counts: ``made``, ``had``, ``unreadable``.
    """
    own = unique_images(job.dataset)[rank::world]
    counts: Counter = Counter(made=0, had=0, unreadable=0)
    for number, sample in enumerate(_read_ahead(job, own, workers), 1):
        if sample is None:
            counts['unreadable'] += 1
        elif job.cache.has(sample):
            counts['had'] += 1
        else:
            job.cache(sample)
            counts['made'] += 1
        if progress is not None:
            progress(number, len(own))
    return counts


def unique_images(dataset: GroundingDataset) -> list[int]:
    """A sample of each image, in order: many samples may show the same one.

    Args:
        dataset: Without a pipeline.
    """
    seen, found = set(), []
    for index in range(len(dataset)):
        sample = dataset[index]
        if not isinstance(sample, GroundingSample):
            continue
        if sample.image is None:  # else it lies within the annotations
            if sample.image_path is None or sample.image_path in seen:
                continue
            seen.add(sample.image_path)
        found.append(index)
    return found


def _read_ahead(
    job: CacheJob, indices: Sequence[int], workers: int
) -> Iterator[GroundingSample | None]:
    """Samples with their images, in order; None where an image cannot be read."""

    def read(index: int) -> GroundingSample | None:
        sample = job.dataset[index]
        try:
            for step in job.before:
                sample = step(sample)
        except InputFileError:
            return None
        return sample if isinstance(sample, GroundingSample) else None

    with ThreadPoolExecutor(max(workers, 1)) as pool:
        left = iter(indices)
        # No more than a few images wait in memory.
        waiting = [pool.submit(read, index) for index in islice(left, 2 * max(workers, 1))]
        while waiting:
            done: Future = waiting.pop(0)
            yield done.result()
            waiting += [pool.submit(read, index) for index in islice(left, 1)]
