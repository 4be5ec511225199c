"""Maps made before training: once per image, shared between processes, gone on with."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from flmm.apis.panoptic_cache import fill, find_jobs
from flmm.datasets.transforms import LoadImage, LoadPanoptic
from flmm.models.segmenters import CachedPanoptic
from flmm.registry import DATASETS, MODELS
from flmm.structures import PanopticMap, Segment
from flmm.utils.errors import FLMMError

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/prepare_data'))
IMAGES = 5


@MODELS.register_module(name='CountingSegmenter', force=True)
class CountingSegmenter:
    """Notes which images it was asked about, and where it runs."""

    identity = 'counting'
    seen: list = []  # noqa: RUF012
    broken = False

    def __init__(self, device='cpu'):
        self.device = device

    def __call__(self, sample):
        if self.broken:
            raise AssertionError('asked in training')
        self.seen.append((sample.image.getpixel((0, 0))[0], self.device))
        return PanopticMap(np.ones((2, 2), np.int64), (Segment(1, 0),))


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch):
    monkeypatch.setattr(CountingSegmenter, 'seen', [])


@pytest.fixture
def config(tmp_path):
    """Two talks about each of five images, one without an image, and a benchmark of two."""
    for index in range(IMAGES):
        Image.new('RGB', (8, 6), (10 * index, 0, 0)).save(tmp_path / f'{index}.png')
    talk = [{'from': 'human', 'value': 'What?'}, {'from': 'gpt', 'value': 'this'}]
    talks = [{'image': f'{i}.png', 'conversations': talk} for i in [*range(IMAGES)] * 2]
    talks.append({'conversations': talk})
    (tmp_path / 'talks.json').write_text(json.dumps(talks))
    rows = [{'question_id': i, 'image': f'{i}.png', 'text': '?', 'label': 'no'} for i in (1, 2)]
    for setting in ('random', 'popular', 'adversarial'):
        content = '\n'.join(map(json.dumps, rows))
        (tmp_path / f'coco_pope_{setting}.json').write_text(content)
    segmenter = dict(type='CountingSegmenter')
    maps = dict(type='CachedPanoptic', folder=str(tmp_path / 'maps'), segmenter=segmenter)
    load = dict(type='LoadPanoptic', segmenter=maps)
    asked = dict(type='VQABenchmark', benchmark='pope', ann_file=str(tmp_path))
    read = dict(type='LLaVAInstructDataset', ann_file=str(tmp_path / 'talks.json'))
    later = dict(type='PrepareLMMInputs', processor=dict(type='a step that is never built'))
    return Config(
        dict(
            train_dataloader=dict(
                dataset=dict(
                    type='Mixture',
                    datasets=dict(talks=dict(read, image_root=str(tmp_path))),
                    pipeline=[dict(type='LoadImage', optional=True), load, later],
                )
            ),
            test_dataloader=dict(
                pope=dict(
                    dataset=dict(
                        asked,
                        image_root=str(tmp_path),
                        pipeline=[dict(type='LoadImage'), load, later],
                    )
                ),
                plain=dict(dataset=dict(asked, image_root=str(tmp_path), pipeline=[])),
            ),
        )
    )


def test_each_image_is_segmented_once_and_training_finds_its_map(config, monkeypatch):
    train, pope = find_jobs(config, 'cuda:3')
    assert (train.name, pope.name) == ('train', 'pope') and train.cache is pope.cache
    steps = []
    counts = fill(train, progress=lambda done, total: steps.append((done, total)))
    assert counts == {'made': IMAGES, 'had': 0, 'unreadable': 0}
    assert steps == [(i + 1, IMAGES) for i in range(IMAGES)]
    assert CountingSegmenter.seen == [(10 * i, 'cuda:3') for i in range(IMAGES)]
    # The same images, so nothing is left to do.
    assert fill(pope) == {'made': 0, 'had': 2, 'unreadable': 0}
    monkeypatch.setattr(CountingSegmenter, 'broken', True)
    dataset = dict(config.train_dataloader.dataset)
    segmenter = MODELS.build(dataset['pipeline'][1]['segmenter'])
    dataset['pipeline'] = [LoadImage(optional=True), LoadPanoptic(segmenter)]
    dataset = DATASETS.build(dataset)
    assert all(dataset[i].panoptic.segments == (Segment(1, 0),) for i in range(2 * IMAGES))


def test_processes_share_the_images_and_a_killed_run_is_gone_on_with(config, tmp_path):
    class Killed(BaseException):
        pass

    def kill(done, total):
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        fill(find_jobs(config)[0], rank=0, world=2, progress=kill)
    made = set(CountingSegmenter.seen)
    assert made == {(0, 'cpu'), (20, 'cpu')}
    (tmp_path / '3.png').write_bytes(b'no image')
    counts = [fill(find_jobs(config)[0], rank, world=2) for rank in (0, 1)]
    assert counts[0] == {'made': 1, 'had': 2, 'unreadable': 0}
    assert counts[1] == {'made': 1, 'had': 0, 'unreadable': 1}
    assert len(CountingSegmenter.seen) == len(set(CountingSegmenter.seen)) == 4


def test_the_tool_fills_the_tasks_it_is_told(config, tmp_path, capsys):
    import cache_panoptic

    config.dump(tmp_path / 'config.py')
    arguments = [str(tmp_path / 'config.py'), '--device', 'cpu']
    assert cache_panoptic.main([*arguments, '--tasks', 'pope']) == 0
    assert 'pope: 2 made, 0 had, 0 unreadable (process 1 of 1)' in capsys.readouterr().out
    assert cache_panoptic.main(arguments) == 0
    assert 'train: 3 made, 2 had' in capsys.readouterr().out
    assert cache_panoptic.main([*arguments, '--tasks', 'mme']) == 2
    assert "no task 'mme'" in capsys.readouterr().err
    with pytest.raises(FLMMError, match='nothing to fill'):
        find_jobs(config, tasks=['plain'])


def test_the_real_training_has_a_cache_to_fill():
    root = Path(__file__).parents[2] / 'configs/collavo'
    for path in root.glob('collavo_*.py'):
        config = Config.fromfile(path)
        loaders = [*(config.get('test_dataloader') or {}).values()]
        loaders += [config.train_dataloader] if 'train_dataloader' in config else []
        for loader in loaders:
            kinds = [step.type for step in loader.dataset.pipeline]
            step = loader.dataset.pipeline[kinds.index(LoadPanoptic)]
            assert step.segmenter.type is CachedPanoptic
