"""Every config loads; the official one builds, trains a step and predicts on tiny weights."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS
from safetensors import safe_open
from safetensors.torch import save_file

from flmm.apis.config import load_config
from flmm.apis.grounding_inferencer import GroundingInferencer
from flmm.datasets import grounding_collate
from flmm.datasets.toy.build import ToySettings, build_toy_world
from flmm.models.lmms import HFLMM
from flmm.registry import DATASETS, METRICS, MODELS
from flmm.structures import GroundingSample

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / 'configs').rglob('*.py'))
OFFICIAL = ROOT / 'configs/f_lmm/f_lmm_llava_1_5_7b_unet_sam_l_png_refcoco.py'
TOY = ROOT / 'configs/toy/f_lmm_tiny_llava_png_refcoco.py'
PIPELINE = 'dataset.pipeline'


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: str(path.relative_to(ROOT / 'configs')))
def test_every_config_loads(path):
    values = Config.fromfile(path).to_dict()
    assert values
    if '_base_' not in path.parts:
        # A run writes its config out; a function that helped to make it cannot be read again.
        assert not [name for name, value in values.items() if callable(value)]


@pytest.fixture(scope='module')
def config():
    return Config.fromfile(OFFICIAL)


def test_the_heads_are_the_official_ones(config):
    model = config.model
    assert model.mask_head.in_channels == 32 * 32
    head = {k: model.mask_head[k] for k in ('base_channels', 'num_stages', 'upsample_to')}
    assert head == {'base_channels': 64, 'num_stages': 4, 'upsample_to': 64}
    assert model.mask_refiner.pretrained == 'facebook/sam-vit-large'
    assert model.lmm.pretrained == 'llava-hf/llava-1.5-7b-hf'
    assert model.lmm.dtype == 'bfloat16' and model.lmm.get('merge', 'mean') == 'mean'
    assert model.targets_in == 'lmm'


def test_the_schedule_is_the_official_one(config):
    optimizer = config.optim_wrapper.optimizer
    assert optimizer.lr == 1e-4 and tuple(optimizer.betas) == (0.9, 0.999)
    assert optimizer.weight_decay == 0.01
    assert config.optim_wrapper.clip_grad.max_norm == 1.0
    assert config.train_cfg.max_epochs == 8
    assert config.train_dataloader.batch_size == 1
    checkpoint = config.default_hooks.checkpoint
    assert (checkpoint.interval, checkpoint.by_epoch) == (500, False)


def test_learning_rates_are_those_recorded_from_the_release(config):
    recorded = json.loads((ROOT / 'tests/data/f_lmm_train/golden.json').read_text())['lr_schedule']
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=config.optim_wrapper.optimizer.lr)
    per_epoch = recorded['iters_per_epoch']
    schedulers = [
        PARAM_SCHEDULERS.build(
            dict(entry), default_args=dict(optimizer=optimizer, epoch_length=per_epoch)
        )
        for entry in config.param_scheduler
    ]
    rates = []
    for _ in range(per_epoch * config.train_cfg.max_epochs):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert rates == pytest.approx(recorded['lr'], rel=1e-9)


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """Folder with ``data/coco`` in the real layout, ``data/toy`` the same."""
    root = tmp_path_factory.mktemp('world')
    build_toy_world(root / 'data/coco', ToySettings(num_train=3, num_val=2), quiet=True)
    (root / 'data/toy').symlink_to(root / 'data/coco')
    return root


@pytest.fixture(scope='module')
def llava_336(tmp_path_factory, tiny_llava_config, tiny_tokenizer):
    """A random LLaVA-1.5 with the real image side and patch: 24 x 24 cells, 2 x 4 maps."""
    from copy import deepcopy

    from transformers import LlavaForConditionalGeneration

    folder = tmp_path_factory.mktemp('llava_336')
    settings = deepcopy(tiny_llava_config)
    settings.vision_config.image_size, settings.vision_config.patch_size = 336, 14
    settings.text_config.num_hidden_layers = 2
    settings.text_config.max_position_embeddings = 4096
    settings.image_seq_length = 576
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlavaForConditionalGeneration(settings)
    settings.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    save_file(real_names(model), folder / 'model.safetensors', metadata={'format': 'pt'})
    return folder


def real_names(model):
    """Weights under the names of llava-hf's own files, from before transformers 4.52."""
    weights = {}
    for name, tensor in model.state_dict().items():
        name = name.removeprefix('model.').removeprefix('language_model.')
        if not name.startswith(('vision_tower', 'multi_modal', 'lm_head')):
            name = f'model.{name}'
        if name.startswith(('model.', 'lm_head.')):
            name = f'language_model.{name}'
        if name.startswith('vision_tower.') and '.vision_model.' not in name:
            name = name.replace('vision_tower.', 'vision_tower.vision_model.', 1)
        weights[name] = tensor.contiguous()
    assert 'language_model.model.layers.0.self_attn.q_proj.weight' in weights
    assert 'language_model.lm_head.weight' in weights
    assert 'vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight' in weights
    return weights


def test_the_real_names_are_loaded(llava_336):
    # A name that transformers does not know would leave random weights, another time other ones.
    lmm = HFLMM(str(llava_336), dtype='float32')
    with safe_open(llava_336 / 'model.safetensors', 'pt') as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    loaded = real_names(lmm.model)
    assert stored.keys() == loaded.keys()
    for name, tensor in stored.items():
        assert torch.equal(tensor, loaded[name]), name


def pointed_to(config, lmm, sam):
    """The overrides with which a user points a config to other weights."""
    options = [
        f'model.lmm.pretrained={lmm}',
        'model.mask_head.in_channels=8',
        f'model.mask_refiner.pretrained={sam}',
    ]
    loaders = ['train_dataloader', *(f'test_dataloader.{task}' for task in config.test_dataloader)]
    for loader in loaders:
        options += [
            f'{loader}.dataset.pipeline.3.processor.tokenizer={lmm}',
            f'{loader}.dataset.pipeline.4.longer_side=64',
        ]
    return options


@pytest.mark.parametrize('path', [OFFICIAL, TOY], ids=['official', 'toy'])
def test_leafs_build_their_datasets_and_metrics(path, world, llava_336, tiny_sam, monkeypatch):
    monkeypatch.chdir(world)
    config = load_config(path, pointed_to(Config.fromfile(path), llava_336, tiny_sam))
    train = DATASETS.build(config.train_dataloader.dataset)
    names = {type(part).__name__: part for part in train.datasets}
    assert len(train.datasets) == 4 and set(names) == {'PNGDataset', 'RefCOCODataset'}
    assert isinstance(train[0], GroundingSample) and isinstance(train[-1], GroundingSample)
    assert set(config.test_dataloader) == set(config.test_evaluator)
    for task, loader in config.test_dataloader.items():
        sample = DATASETS.build(loader.dataset)[0]
        assert isinstance(sample, GroundingSample) and sample.lmm_inputs is not None
        assert len(sample.gt_masks) == len(sample.phrases) > 0
        prefixes = [METRICS.build(metric).prefix for metric in config.test_evaluator[task]]
        assert prefixes == [task, f'coarse/{task}']


def test_the_official_leaf_trains_and_predicts(world, llava_336, tiny_sam, monkeypatch):
    from mmengine.optim import build_optim_wrapper

    monkeypatch.chdir(world)
    config = load_config(OFFICIAL, pointed_to(Config.fromfile(OFFICIAL), llava_336, tiny_sam))
    model = MODELS.build(config.model).train()
    dataset = DATASETS.build(config.train_dataloader.dataset)
    sample = dataset[0]
    assert sample.lmm_inputs.grids[0].shape == (24, 24)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    before = model.mask_head.conv_seg.weight.detach().clone()
    log = model.train_step(grounding_collate([sample]), wrapper)
    assert {'loss_mask', 'loss_dice', 'sam_loss_mask', 'sam_loss_dice', 'loss'} <= set(log)
    assert all(value.isfinite() for value in log.values())
    assert not torch.equal(model.mask_head.conv_seg.weight, before)
    assert next(model.lmm.parameters()).dtype == torch.bfloat16
    (prediction,) = model.eval().test_step(grounding_collate([sample]))
    assert prediction.pred_masks.shape == sample.gt_masks.shape


def test_an_image_file_is_grounded_with_the_official_leaf(world, llava_336, tiny_sam, monkeypatch):
    monkeypatch.chdir(world)
    config = load_config(OFFICIAL, pointed_to(Config.fromfile(OFFICIAL), llava_336, tiny_sam))
    image = next((world / 'data/coco/val2017').glob('*.jpg'))
    prediction = GroundingInferencer(config, device='cpu')(image, '[a red circle] on the grass')
    assert [phrase.text for phrase in prediction.sample.phrases] == ['a red circle']
    assert prediction.pred_masks.shape == (1, *prediction.sample.ori_shape)
