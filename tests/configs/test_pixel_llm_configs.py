"""PixelLLM's configs: recorded settings; a step of training on tiny random weights."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.utils import get_object_from_string
from PIL import Image

from flmm.datasets import grounding_collate
from flmm.datasets.toy.build import ToySettings, build_toy_world
from flmm.datasets.transforms import LastWords, PrepareCaptions
from flmm.registry import DATASETS, METRICS, MODELS, TRANSFORMS
from flmm.structures import GroundingSample, Phrase, Region, TextPiece, Turn

pytest.importorskip('timm')
ROOT = Path(__file__).parents[2] / 'configs'
LEAVES = sorted((ROOT / 'pixel_llm').glob('*.py'))
# steps, batch of all processes, learning rate, warm-up, weight decay, longest text
RECORDED = dict(
    trace=(10_000, 256, 5e-5, 250, 0.0, 128),
    ref=(120_000, 64, 5e-5, 1000, 0.0, 40),
    refseg=(60_000, 64, 5e-5, 500, 0.0, 40),
    densecap=(40_000, 64, 1e-4, 1000, 0.05, 40),
    joint=(240_000, 128, 1e-4, 2000, 0.05, 128),
    joint_refseg=(30_000, 128, 1e-4, 250, 0.0, 128),
)


def experiment(path):
    return path.stem.split('_', 3)[3]


def pipelines(dataset):
    """Pipelines of a data set's config, those of its parts too."""
    own = dataset.get('pipeline', [])
    parts = [p for part in dataset.get('datasets', []) for p in pipelines(part)]
    return [*([own] if own else []), *parts]


def readers(dataset):
    """Configs of all readers within a data set's config."""
    inner = [*dataset.get('datasets', []), *dataset.get('avoid', [])]
    inner += [dataset.dataset] if 'dataset' in dataset else []
    return [dataset, *(r for part in inner for r in readers(part))]


def test_there_are_twelve():
    assert {experiment(path) for path in LEAVES} == set(RECORDED) and len(LEAVES) == 12


@pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)
def test_hyper_parameters_are_the_recorded_ones(path):
    config = Config.fromfile(path)
    steps, batch, lr, warmup, decay, longest = RECORDED[experiment(path)]
    assert config.train_cfg.max_iters == steps == config.param_scheduler[1].end
    assert config.train_dataloader.batch_size * 8 == batch
    assert config.optim_wrapper.optimizer.lr == lr
    assert config.param_scheduler[0].end == warmup
    assert config.optim_wrapper.optimizer.weight_decay == decay
    keys = config.optim_wrapper.paramwise_cfg.custom_keys
    if decay:
        assert keys['image_encoders.0.vit.blocks.23.'].lr_mult == pytest.approx(0.8)
        assert keys['image_encoders.0.vit.patch_embed'].lr_mult == pytest.approx(0.8**25)
    elif experiment(path) == 'refseg':
        assert keys['mask_head.adapter'].lr_mult == 10
    for pipeline in pipelines(config.train_dataloader.dataset):
        assert pipeline[-1].max_tokens == longest and pipeline[-1].image_size == 384
    for loader in (config.train_dataloader, *config.test_dataloader.values()):
        for reader in readers(loader.dataset):
            # Every option is one that its reader has.
            arguments = {key: value for key, value in reader.items() if key != 'type'}
            inspect.signature(reader.type).bind(**arguments)
    assert set(config.test_dataloader) == set(config.test_evaluator)


def test_joint_training_draws_in_the_recorded_shares():
    path = ROOT / 'pixel_llm/pixel_llm_t5_joint.py'
    loader = Config.fromfile(path).train_dataloader
    assert dict(loader.sampler.weights) == dict(
        coco_captions=3, narratives=1, flickr_refs=1, coco_refs=5, vg_refs=1,
        regions_train=5, conversations=5,
    )  # fmt: skip
    assert [part.name for part in loader.dataset.datasets] == list(loader.sampler.weights)


def shrunk(model, tokenizer):
    """The model's config with sizes for a test, and without files."""
    model = model.copy()
    eva, sam = model.image_encoders
    eva.update(image_size=56, width=16, depth=1, num_heads=2)
    sam.update(
        image_size=64,
        config=dict(
            hidden_size=16, output_channels=8, num_hidden_layers=1, num_attention_heads=2,
            mlp_dim=16, window_size=2, global_attn_indexes=[0], num_pos_feats=8,
        ),
    )  # fmt: skip
    model.prompt_encoder.update(channels=8)
    sizes = dict(channels=16, num_outputs=4, out_channels=16, depth=1)
    model.prompt_extractor.update(image_channels=24, prompt_channels=8, **sizes)
    vocab = len(tokenizer)
    if model.text_decoder.pop('pretrained', None):
        model.text_decoder.update(
            config=dict(
                vocab_size=vocab, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
                tie_word_embeddings=False,
            )
        )  # fmt: skip
    else:
        model.text_decoder.update(vocab_size=vocab, channels=16, num_layers=1, num_heads=2)
    model.text_decoder.update(visual_channels=16)
    if 'point_head' in model:
        model.point_head.update(in_channels=16, hidden_channels=16)
    if 'box_head' in model:
        model.box_head.update(
            # Two channels for each of the 32 groups: the coarsest level has one cell, and a group
            # of one value has no variance.
            pyramid=dict(in_channels=24, out_channels=64),
            proposals=dict(channels=64, num_layers=1),
            roi=dict(channels=(16,), crop=3),
            train_counts=(40, 16),
            test_counts=(40, 8),
            max_detections=3,
        )
    if 'mask_head' in model:
        model.mask_head.adapter.update(
            visual_channels=16, text_channels=16, channels=8, num_heads=2, depth=1
        )
        model.mask_head.decoder = dict(
            hidden_size=8, num_attention_heads=2, mlp_dim=16, iou_head_hidden_dim=8
        )
    model.update(sam=None, tokenizer=tokenizer)
    return model


@pytest.fixture
def everything():
    """A sample with every kind of annotation."""

    def make(number):
        rng = np.random.default_rng(number)
        words = ('a red circle', 'the grass')
        boxes = ([4, 4, 30, 30], [0, 32, 64, 48])
        masks = np.zeros((2, 48, 64), dtype=bool)
        masks[0, 4:30, 4:30], masks[1, 32:] = True, True
        return GroundingSample(
            f's/{number}',
            image=Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)),
            ori_shape=(48, 64),
            pieces=[TextPiece(words[0], 0), TextPiece(' on '), TextPiece(words[1], 1)],
            joint_tokens=True,
            phrases=[
                Phrase(word, meta={'box_xyxy': box, 'box': [0.1, 0.1, 0.5, 0.6], 'point': [0, 0]})
                for word, box in zip(words, boxes, strict=True)
            ],
            regions=[
                Region(tuple(box), meta={'caption': word})
                for word, box in zip(words, boxes, strict=True)
            ],
            gt_masks=masks,
            turns=[Turn('what is there', 'a red circle')],
            meta={'references': ['a big star']},
        )

    return make


@pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)
def test_a_step_trains_what_is_not_frozen_and_every_test_is_scored(
    path, everything, tiny_tokenizer
):
    config = Config.fromfile(path)
    torch.manual_seed(0)
    model = MODELS.build(shrunk(config.model, tiny_tokenizer)).train()
    items = []
    for number, pipeline in enumerate(pipelines(config.train_dataloader.dataset)):
        prepare = TRANSFORMS.build(dict(pipeline[-1], tokenizer=tiny_tokenizer, image_size=64))
        assert isinstance(prepare, PrepareCaptions)
        items.append(prepare(everything(number)))
    losses = model(**grounding_collate(items), mode='loss')
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    allowed = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained and trained <= allowed
    if experiment(path) in ('refseg', 'joint_refseg'):
        kinds = {name.partition('.')[0] for name in allowed}
        assert kinds <= {'mask_head', 'point_head'} and {'loss_dice', 'loss_iou'} <= set(losses)
        assert all('adapter' in name for name in allowed if name.startswith('mask_head'))
    if '_t5_' in path.stem:
        text = {name for name in allowed if name.startswith('text_decoder.t5')}
        assert all('lora_' in name for name in text)
        assert text or 'refseg' in path.stem
    _score(model.eval(), config, everything, tiny_tokenizer)


def _score(model, config, everything, tokenizer):
    model.text_decoder.max_length = 64
    for task, loader in list(config.test_dataloader.items())[:3]:
        (pipeline,) = pipelines(loader.dataset)
        prepare = TRANSFORMS.build(
            dict(pipeline[-1], tokenizer=tokenizer, image_size=64, max_tokens=12)
        )
        model.text_decoder.max_length = 12
        predictions = model(**grounding_collate([prepare(everything(0))]), mode='predict')
        for metric in config.test_evaluator[task]:
            metric = METRICS.build(metric)
            metric.process({}, predictions)
            assert all(key.startswith(f'{task}/') for key in metric.conclude(metric.results))


FORMATS = ('localized_narratives', 'refcoco', 'visual_genome')
TOY = ['pixel_llm_llava_trace', 'pixel_llm_llava_ref', 'pixel_llm_llava_refseg',
       'pixel_llm_llava_densecap', 'pixel_llm_llava_joint', 'pixel_llm_untrained_llava_trace',
       'pixel_llm_trace', 'pixel_llm_ref', 'pixel_llm_refseg', 'pixel_llm_densecap',
       'pixel_llm_joint', 'word_location_tiny_llava', 'word_location_lora_tiny_llava',
       'word_location_untrained_llava']  # fmt: skip


@pytest.fixture(scope='module')
def toy_words(tmp_path_factory):
    root = tmp_path_factory.mktemp('words') / 'toy'
    build_toy_world(root, ToySettings(num_train=4, num_val=2, formats=FORMATS), quiet=True)
    return root


def moved(config, root):
    """The config with the toy data in another folder."""

    def walk(node):
        if isinstance(node, dict):
            return {
                # to_dict() has written the function's name.
                key: get_object_from_string(value)
                if key == 'initialise' and isinstance(value, str)
                else walk(value)
                for key, value in node.items()
            }
        if isinstance(node, (list, tuple)):
            return [walk(value) for value in node]
        return node.replace('data/toy_words', str(root)) if isinstance(node, str) else node

    return Config(walk(config.to_dict()))


@pytest.mark.parametrize('name', TOY)
def test_a_toy_config_trains_a_step_and_takes_its_tests(name, toy_words, monkeypatch):
    monkeypatch.chdir(ROOT.parent)
    path = ROOT / f'toy/{name}.py'
    assert len(path.read_text().splitlines()) <= 40
    config = moved(Config.fromfile(path), toy_words)
    model = MODELS.build(config.model).train()
    dataset = DATASETS.build(config.train_dataloader.dataset)
    chosen = range(0, len(dataset), max(len(dataset) // 3, 1))
    batch = grounding_collate([dataset[i] for i in chosen])
    assert batch['samples'] and not batch['skipped']
    losses = model(**batch, mode='loss')
    sum(losses.values()).backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    model.eval()
    if hasattr(model, 'text_decoder'):
        model.text_decoder.max_length = 96
        model.text_decoder.generate = _short(model.text_decoder.generate)
    for task, loader in config.test_dataloader.items():
        data = DATASETS.build(loader.dataset)
        predictions = model(**grounding_collate([data[0], data[1]]), mode='predict')
        for metric in config.test_evaluator[task]:
            metric = METRICS.build(metric)
            metric.process({}, predictions)
            values = metric.conclude(metric.results)
            assert values and all(key.startswith(f'{task}/') for key in values)


def _short(generate):
    return lambda visual, context=None, max_length=None, **whole: generate(
        visual, context, 4, **whole
    )


def test_nouns_are_located_by_their_last_word():
    config = Config.fromfile(ROOT / 'toy/word_location_tiny_llava.py')
    steps = [step.type for step in config.test_dataloader.nouns.dataset.pipeline]
    assert LastWords in steps or any('LastWords' in str(step) for step in steps)
    untrained = Config.fromfile(ROOT / 'toy/word_location_untrained_llava.py')
    assert untrained.model.lmm.random_init == 0
    assert {**untrained.model, 'lmm': None} == {**config.model, 'lmm': None}


def test_a_pixel_llm_s_control_differs_in_the_lmm_s_weights_alone():
    config = Config.fromfile(ROOT / 'toy/pixel_llm_llava_trace.py').to_dict()
    control = Config.fromfile(ROOT / 'toy/pixel_llm_untrained_llava_trace.py').to_dict()
    for part in (control['model']['image_encoders'][0], control['model']['text_decoder']):
        assert part['lmm'].pop('random_init') == 0
        assert 'init_tiny_llava' in part['lmm'].pop('initialise')
    assert control == config
