"""GPT4RoI's configs: the release's hyper-parameters, and every part builds on tiny weights."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from flmm.datasets import grounding_collate
from flmm.datasets.toy.build import ToySettings, build_toy_world
from flmm.registry import DATA_SAMPLERS, DATASETS, METRICS, MODELS

ROOT = Path(__file__).parents[2] / 'configs'


def load(name):
    return Config.fromfile(ROOT / 'gpt4roi' / f'gpt4roi_{name}.py')


@pytest.mark.parametrize('size', ['7b', '13b'])
def test_stage_1_is_the_official_one(size):
    config = load(f'llava_v0_{size}_stage1')
    assert tuple(config.model.trains) == ('regions',)
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (2e-5, 0.01)
    assert (config.train_cfg.max_epochs, config.train_dataloader.batch_size) == (2, 1)
    warmup = config.param_scheduler[0]
    assert warmup.end == pytest.approx(0.003 * 2) and warmup.convert_to_iter_based
    names = [d.get('kind', 'coco') for d in config.train_dataloader.dataset.datasets]
    assert names == ['coco', 'refcoco', 'refcoco_plus']
    # Captions of fewer than three words are left out.
    assert [d.get('min_words') for d in config.train_dataloader.dataset.datasets][1:] == [3, 3]


@pytest.mark.parametrize('size', ['7b', '13b'])
def test_stage_2_is_the_official_one(size):
    config = load(f'llava_v0_{size}_stage2')
    assert tuple(config.model.trains) == ('regions', 'projector', 'language')
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (2e-5, 0.0)
    warmup = config.param_scheduler[0]
    assert (warmup.end, warmup.by_epoch) == (3000, False)
    assert (config.train_cfg.max_epochs, config.train_dataloader.batch_size) == (2, 2)
    assert len(config.train_dataloader.dataset.datasets) == 7
    assert config.model.regions_from == f'work_dirs/gpt4roi_llava_v0_{size}_stage1'
    processor = config.model.processor
    assert (processor.region_token, processor.max_length) == ('<bbox>', 2048)
    assert config.model.gradient_checkpointing


def test_training_and_evaluation_read_with_the_same_processor():
    for name in ('llava_1_5_7b_stage2', 'gemma3_4b_stage1'):
        config = load(name)
        steps = [config.train_dataloader.dataset.pipeline[-1]]
        steps += [loader.dataset.pipeline[2] for loader in config.test_dataloader.values()]
        assert all(step.processor == config.model.processor for step in steps)


def test_each_task_has_its_metric():
    config = load('llava_v0_7b_stage2')
    kinds = {task: metrics[0].type.__name__ for task, metrics in config.test_evaluator.items()}
    assert kinds == {
        'vg_captions': 'CaptionMetric',
        'vg_captions_8': 'CaptionMetric',
        'refcocog_captions': 'CaptionMetric',
        'vcr': 'VCRMetric',
    }
    scores = config.test_evaluator['refcocog_captions'][0].metrics
    assert set(scores) >= {'bleu', 'rouge_l', 'cider', 'meteor'}


FORMATS = ('refcoco', 'visual_genome', 'vcr', 'flickr30k', 'coco_detection', 'llava_regions')


@pytest.fixture(scope='module')
def toy_data(tmp_path_factory):
    root = tmp_path_factory.mktemp('regions') / 'toy'
    build_toy_world(root, ToySettings(num_train=6, num_val=2, formats=FORMATS), quiet=True)
    return root


def moved(config, root):
    """The config with the toy data in another folder."""

    def walk(node):
        if isinstance(node, dict):
            return {key: walk(value) for key, value in node.items()}
        if isinstance(node, (list, tuple)):
            return [walk(value) for value in node]
        return node.replace('data/toy_regions', str(root)) if isinstance(node, str) else node

    return Config(walk(config.to_dict()))


@pytest.mark.parametrize(
    ('name', 'trained'),
    [
        ('stage1', {'roi_extractor'}),
        ('stage2', {'roi_extractor', 'lmm'}),
        ('shuffled_vcr', {'roi_extractor', 'lmm'}),
    ],
)
def test_the_toy_config_trains_a_step(name, trained, toy_data, monkeypatch):
    monkeypatch.chdir(ROOT.parent)
    config = moved(Config.fromfile(ROOT / 'toy' / f'gpt4roi_tiny_llava_{name}.py'), toy_data)
    model = MODELS.build(config.model).train()
    dataset = DATASETS.build(config.train_dataloader.dataset)
    # Each part has a share of its own.
    sampler = DATA_SAMPLERS.build({**config.train_dataloader.sampler, 'dataset': dataset})
    assert set(config.train_dataloader.sampler.weights) == {part.name for part in dataset.datasets}
    assert len(sampler) == len(dataset)
    batch = grounding_collate([dataset[i] for i in range(0, len(dataset), len(dataset) // 4)])
    assert not batch['skipped']
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    before = {key: value.clone() for key, value in model.named_parameters()}
    wrapper.update_params(model(**batch, mode='loss')['loss_lm'])
    # A step changes what the stage trains, and only that.
    changed = {key for key, value in model.named_parameters() if not value.equal(before[key])}
    assert {key.split('.')[0] for key in changed} == trained
    assert not any('vision_tower' in key for key in changed)
    assert model.mean_region.any()


def test_the_toy_config_answers_every_task(toy_data, monkeypatch):
    monkeypatch.chdir(ROOT.parent)
    config = moved(Config.fromfile(ROOT / 'toy/gpt4roi_tiny_llava_stage2.py'), toy_data)
    model = MODELS.build(dict(config.model, max_new_tokens=3)).eval()
    assert set(config.test_dataloader) == {
        'vg_captions', 'vg_captions_8', 'refcocog_captions', 'vcr'
    }  # fmt: skip
    for task, loader in config.test_dataloader.items():
        data = DATASETS.build(loader.dataset)
        batch = grounding_collate([data[0], data[1]])
        if task == 'vg_captions_8':
            assert [len(sample.turns) for sample in batch['samples']] == [8, 8]
        predictions = model(**batch, mode='predict')
        for metric in config.test_evaluator[task]:
            metric = METRICS.build(metric)
            metric.process({}, predictions)
            values = metric.conclude(metric.results)
            assert values and all(task in key for key in values)
