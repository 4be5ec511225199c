"""CoLLaVO's training configs: the known settings; each takes a step on tiny random weights."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from flmm.datasets import grounding_collate
from flmm.datasets.benchmarks import BENCHMARK_FILES
from flmm.datasets.toy.build import ToySettings, build_toy_world
from flmm.engine.hooks.frozen_weights_hook import frozen_hashes
from flmm.models.segmenters import PanopticFiles
from flmm.registry import DATASETS, METRICS, MODELS, TRANSFORMS
from flmm.structures import Turn

ROOT = Path(__file__).parents[2] / 'configs'
STEPS = sorted(ROOT.glob('collavo/collavo_*_step?.py'))
TOY = sorted(ROOT.glob('toy/collavo_*.py'))
sys.path.insert(0, str(Path(__file__).parents[1] / 'models/lmms'))


@pytest.mark.parametrize('path', STEPS, ids=lambda path: path.stem)
def test_the_schedule_is_the_known_one(path):
    config = Config.fromfile(path)
    optimizer = config.optim_wrapper.optimizer
    first = 1e-4 if path.stem.endswith('step1') else 1e-5
    assert (optimizer.lr, optimizer.weight_decay) == (first, 0.0)
    assert config.train_dataloader.batch_size * 8 == 32
    assert config.optim_wrapper.clip_grad.max_norm == 10
    assert config.train_cfg.max_epochs == 1
    (cosine,) = config.param_scheduler
    assert cosine.eta_min == 1e-6 and cosine.convert_to_iter_based
    assert len(path.read_text().splitlines()) <= 40


@pytest.mark.parametrize('kind', ['llava_1_5_7b', 'collavo_7b'])
def test_step_2_adds_instructions_and_the_image_lora_to_step_1(kind):
    first, second = (Config.fromfile(ROOT / f'collavo/{_stem(kind)}_step{i}.py') for i in (1, 2))
    assert (first.model.train_crayon, first.model.train_image_lora) == (True, False)
    assert (second.model.train_crayon, second.model.train_image_lora) == (True, True)
    assert second.model.weights_from == f'work_dirs/{_stem(kind)}_step1'
    assert set(second.train_dataloader.dataset.datasets) == {'panoptic', 'sharegpt4v'}
    assert first.model.lmm.four_bit and second.model.lmm.four_bit
    mix = second.train_dataloader.dataset.datasets.sharegpt4v.ann_file
    assert mix.endswith('sharegpt4v_mix665k_cap23k_coco-ap9k_lcs3k_sam9k_div2k.json')


def _stem(kind):
    return 'collavo_7b' if kind == 'collavo_7b' else f'collavo_{kind}'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """COCO's panoptic files under ``coco``, a mix of instructions under ``llava``."""
    root = tmp_path_factory.mktemp('data')
    settings = ToySettings(num_train=3, num_val=2, formats=('png', 'pope'))
    build_toy_world(root / 'coco', settings, quiet=True)
    picture = Image.fromarray(np.full((20, 30, 3), 90, np.uint8))
    (root / 'llava/gqa/images').mkdir(parents=True)
    picture.save(root / 'llava/gqa/images/1.jpg')
    talk = [{'from': 'human', 'value': 'What?\n<image>'}, {'from': 'gpt', 'value': 'a star'}]
    entries = [
        {'id': '1', 'image': 'gqa/images/1.jpg', 'conversations': talk * 2},
        {'id': '2', 'conversations': [dict(talk[0], value='Hi'), dict(talk[1], value='a sky')]},
    ]
    name = 'sharegpt4v_mix665k_cap23k_coco-ap9k_lcs3k_sam9k_div2k.json'
    (root / 'llava' / name).write_text(json.dumps(entries))
    return root


class AnyMap:
    """The annotated map where there is one, else nothing."""

    def __init__(self, root):
        folder = f'{root}/coco/annotations/panoptic_train2017'
        self.files = PanopticFiles(f'{folder}.json', folder)

    def __call__(self, sample):
        from flmm.structures import PanopticMap

        known = Path(sample.image_path).name in self.files._segments
        return self.files(sample) if known else PanopticMap(np.zeros((2, 2), np.int64))


def moved(config, changes):
    """The config with other folders, changed in place."""

    def walk(node):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            value = node[key]
            if isinstance(value, str):
                for old, new in changes.items():
                    value = value.replace(old, str(new))
                node[key] = value
            elif isinstance(value, (dict, list)):
                walk(value)

    walk(config._cfg_dict)
    return config


def take_a_step(config):
    """A step of the optimiser over all samples; what is frozen keeps its bits."""
    torch.manual_seed(0)
    model = MODELS.build(config.model).train()
    dataset = DATASETS.build(config.train_dataloader.dataset)
    batch = grounding_collate([dataset[i] for i in range(min(len(dataset), 6))])
    assert not batch['skipped']
    frozen = frozen_hashes(model)
    trains = [parameter for parameter in model.parameters() if parameter.requires_grad]
    before = [parameter.detach().clone() for parameter in trains]
    optimizer = torch.optim.AdamW(trains, lr=1e-3)
    model(**batch, mode='loss')['loss_lm'].backward()
    assert all(parameter.grad is not None for parameter in trains)
    optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(trains, before, strict=True))
    assert frozen_hashes(model) == frozen
    return model, batch


@pytest.mark.parametrize('step', [1, 2])
def test_llava_takes_a_step(step, data, tiny_llava):
    config = Config.fromfile(ROOT / f'collavo/collavo_llava_1_5_7b_step{step}.py')
    config = moved(config, {'llava-hf/llava-1.5-7b-hf': tiny_llava, 'data/': f'{data}/'})
    config.model.adapters.rank = 2
    config.model.weights_from = None
    _shrink(config, 48, 8, data)
    _, batch = take_a_step(config)
    pictures = [bool(sample.grids) for sample in batch['inputs']]
    assert all(pictures) if step == 1 else pictures.count(False) == 1


def _shrink(config, side, patch, data):
    """Image processor, maps and length of the tiny model."""
    pipeline = config.train_dataloader.dataset.pipeline
    pipeline[1] = dict(type='flmm.LoadPanoptic', segmenter=AnyMap(data))
    for step in pipeline:
        if 'processor' in step:
            step['processor']['processor']['image_processor'].update(size=side, patch_size=patch)
            step['processor']['max_length'] = 500


@pytest.fixture(scope='module')
def tiny_release(tmp_path_factory, tiny_tokenizer, tiny_collavo_config):
    """Folder of a tiny CoLLaVO with its tokenizer."""
    from flmm.models.lmms.collavo import CoLLaVOForConditionalGeneration

    folder = tmp_path_factory.mktemp('tiny_collavo')
    torch.manual_seed(0)
    text = dict(vocab_size=len(tiny_tokenizer), max_position_embeddings=1024, extra_embeddings=0)
    config = tiny_collavo_config(
        text, image_size=32, image_token_id=tiny_tokenizer.convert_tokens_to_ids('<image>')
    )
    CoLLaVOForConditionalGeneration(config).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize('step', [1, 2])
def test_the_released_model_takes_a_step(step, data, tiny_release, tiny_tokenizer):
    config = Config.fromfile(ROOT / f'collavo/collavo_7b_step{step}.py')
    config = moved(config, {'checkpoints/collavo_7b': tiny_release, 'data/': f'{data}/'})
    config.model.tokenizer = str(tiny_release)
    config.model.weights_from = None
    _shrink(config, 32, 8, data)
    processor = config.train_dataloader.dataset.pipeline[-2].processor
    processor.processor.tokenizer = str(tiny_release)
    model, batch = take_a_step(config)
    own = model.lmm.model.model
    assert own.crayon.class_embed.weight.requires_grad and not list(model.adapters.parameters())
    # The image stands before the turn, as in the release.
    text = tiny_tokenizer.decode(batch['inputs'][0].input_ids)
    assert text.index('<image>') < text.index('user')


TESTED = ('collavo_7b_benchmarks', 'collavo_7b_step2', 'collavo_llava_1_5_7b_step2')


@pytest.fixture(scope='module')
def tested(data, tiny_release, tiny_llava):
    """Function that loads one of ``TESTED`` with tiny weights and the toy world's POPE."""

    def load(name):
        folder, side = (tiny_llava, 48) if 'llava' in name else (tiny_release, 32)
        config = Config.fromfile(ROOT / f'collavo/{name}.py')
        weights = {'llava-hf/llava-1.5-7b-hf': tiny_llava, 'checkpoints/collavo_7b': tiny_release}
        config = moved(config, weights)
        config.model.update(tokenizer=str(folder), weights_from=None, max_new_tokens=3)
        if 'benchmarks' in name:
            config.model.pop('weights_from')
        root = data / 'coco'
        dataset = config.test_dataloader.pope.dataset
        dataset.update(ann_file=str(root / 'pope'), image_root=str(root / 'pope/val2014'))
        maps = str(root / 'annotations/panoptic_val2017')
        pipelines = [dataset.pipeline]
        if 'train_dataloader' in config:
            pipelines.append(config.train_dataloader.dataset.pipeline)
        for pipeline in pipelines:
            segmenter = PanopticFiles(f'{maps}.json', maps)
            pipeline[1] = dict(type='flmm.LoadPanoptic', segmenter=segmenter)
            (reader,) = (step.processor for step in pipeline if 'processor' in step)
            lmm = reader.get('processor', reader)
            lmm.update(tokenizer=str(folder))
            lmm.image_processor.update(size=side, patch_size=8)
        return config

    return load


@pytest.mark.parametrize('name', TESTED)
def test_every_benchmark_is_answered_with_the_crayon_prompt(name, tested):
    config = tested(name)
    assert set(config.test_dataloader) == set(config.test_evaluator) == set(BENCHMARK_FILES)
    model = MODELS.build(config.model).eval()
    dataset = DATASETS.build(config.test_dataloader.pope.dataset)
    predictions = model(**grounding_collate([dataset[0], dataset[1]]), mode='predict')
    inputs = predictions[0].sample.lmm_inputs
    assert inputs.tensors['crayon_classes'].any() and inputs.tensors['crayon_instances'].any()
    assert '(#1 ' in predictions[0].sample.prompt
    metric = METRICS.build(config.test_evaluator.pope[0])
    metric.process({}, predictions)
    assert all(isinstance(entry['answer'], str) for entry in metric.results)


@pytest.mark.parametrize('name', TESTED[1:])
def test_a_question_is_read_as_it_was_learned(name, tested):
    config = tested(name)
    sample = DATASETS.build(config.test_dataloader.pope.dataset)[0]
    question = sample.meta['question'] + BENCHMARK_FILES['pope'].request
    learned = replace(sample, prompt='', turns=[Turn(question, 'yes')])
    _, _, _, *steps = config.train_dataloader.dataset.pipeline
    for step in steps[:3]:  # description, image, processor
        learned = TRANSFORMS.build(step)(learned)
    asked, read = sample.lmm_inputs.input_ids, learned.lmm_inputs.input_ids
    assert len(read) > len(asked) and torch.equal(read[: len(asked)], asked)


@pytest.fixture(scope='module')
def toy(data, tiny_llava):
    """Function that loads a toy config with tiny random weights."""

    def load(name):
        config = Config.fromfile(ROOT / f'toy/{name}.py')
        changes = {'checkpoints/tiny_llava': tiny_llava, 'data/toy_crayon': f'{data}/coco'}
        config = moved(config, changes)

        def shrink(node):
            if isinstance(node, dict):
                if node.get('size') == 96:
                    node.update(size=48)
                for value in node.values():
                    shrink(value)
            elif isinstance(node, list):
                for value in node:
                    shrink(value)

        shrink(config._cfg_dict)
        return config

    return load


@pytest.mark.parametrize('path', TOY, ids=lambda path: path.stem)
def test_a_toy_config_takes_a_step_and_answers_every_task(path, toy):
    config = toy(path.stem)
    model, _ = take_a_step(config)
    assert (model.crayon is None) == ('no_crayon' in path.stem)
    assert any(p.dtype == torch.uint8 for p in model.lmm.parameters()) == ('nf4' in path.stem)
    model.eval()
    model.max_new_tokens = 3
    for task, loader in config.test_dataloader.items():
        dataset = DATASETS.build(loader.dataset)
        predictions = model(**grounding_collate([dataset[0], dataset[1]]), mode='predict')
        (metric,) = config.test_evaluator[task]
        metric = METRICS.build(metric)
        metric.process({}, predictions)
        values = metric.conclude(metric.results)
        assert all(key.startswith(f'{task}/') for key in values)


def test_the_shuffled_control_sees_maps_of_other_images(toy):
    own, other = (
        DATASETS.build(toy(name).train_dataloader.dataset)[0].lmm_inputs.tensors['crayon_classes']
        for name in ('collavo_tiny_llava', 'collavo_tiny_llava_shuffled')
    )
    assert not torch.equal(own, other)
