"""The toy GPT4RoI that is told of regions by masks, points and scribbles too."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from flmm.datasets import grounding_collate
from flmm.datasets.toy.build import ToySettings, build_toy_world
from flmm.registry import DATASETS, METRICS, MODELS

ROOT = Path(__file__).parents[2] / 'configs'
FORMATS = ('refcoco', 'visual_genome', 'vcr', 'flickr30k', 'coco_detection', 'llava_regions')


@pytest.fixture(scope='module')
def toy_data(tmp_path_factory):
    root = tmp_path_factory.mktemp('shapes') / 'toy'
    build_toy_world(root, ToySettings(num_train=6, num_val=2, formats=FORMATS), quiet=True)
    return root


def load(stage, root):
    """The config with the toy data in another folder."""
    config = Config.fromfile(ROOT / f'toy/gpt4roi_tiny_llava_shapes_{stage}.py')

    def walk(node):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            if isinstance(node[key], str):
                node[key] = node[key].replace('data/toy_regions', str(root))
            elif isinstance(node[key], (dict, list)):
                walk(node[key])

    walk(config._cfg_dict)
    return config


def kind_of(region):
    if region.points:
        return 'scribble' if region.joined else 'points'
    return 'box' if region.mask is None else 'mask'


@pytest.mark.parametrize('stage', ['stage1', 'stage2'])
def test_it_learns_of_every_kind_of_region(stage, toy_data, monkeypatch):
    monkeypatch.chdir(ROOT.parent)
    config = load(stage, toy_data)
    model = MODELS.build(config.model).train()
    dataset = DATASETS.build(config.train_dataloader.dataset)
    # The first sets are those with outlines; the last one is another stage's own.
    batch = grounding_collate([dataset[i] for i in (0, 1, 2, 3, len(dataset) - 1)])
    assert not batch['skipped']
    kinds = {kind_of(region) for sample in batch['samples'] for region in sample.regions}
    assert kinds == {'box', 'mask', 'points', 'scribble'}
    torch.manual_seed(0)
    losses = model(**batch, mode='loss')
    sum(losses.values()).backward()
    pooling = model.roi_extractor.shape_pooling
    assert all(p.grad.abs().sum() > 0 for p in pooling.parameters())


def test_stage_2_starts_from_the_stage_1_that_knows_shapes(toy_data):
    first, second = load('stage1', toy_data), load('stage2', toy_data)
    assert second.model.regions_from == 'work_dirs/gpt4roi_tiny_llava_shapes_stage1'
    assert first.model.roi_extractor == second.model.roi_extractor
    assert tuple(second.model.trains) == ('regions', 'projector', 'language')


def test_each_kind_is_scored_by_itself(toy_data, monkeypatch):
    monkeypatch.chdir(ROOT.parent)
    config = load('stage2', toy_data)
    model = MODELS.build(dict(config.model, max_new_tokens=2)).eval()
    asked = {}
    for task, loader in config.test_dataloader.items():
        dataset = DATASETS.build(loader.dataset)
        batch = grounding_collate([dataset[0], dataset[1]])
        kinds = {kind_of(region) for sample in batch['samples'] for region in sample.regions}
        assert kinds == {task.removesuffix('_captions')}
        asked[task] = [sample.meta['references'] for sample in batch['samples']]
        predictions = model(**batch, mode='predict')
        for metric in config.test_evaluator[task]:
            metric = METRICS.build(metric)
            metric.process({}, predictions)
            assert all(task in key for key in metric.conclude(metric.results))
    assert len(asked) == 4 and all(own == asked['box_captions'] for own in asked.values())
