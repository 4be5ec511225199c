"""GPT4RoI's real configs on tiny weights and a few samples in the real files: all but the sizes."""

import copy
import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from flmm.apis.llava_v0_folder import assemble_llava_v0
from flmm.datasets import grounding_collate
from flmm.engine.hooks.frozen_weights_hook import frozen_hashes
from flmm.registry import DATASETS, METRICS, MODELS

ROOT = Path(__file__).parents[2] / 'configs'
LEAVES = sorted(path.stem for path in (ROOT / 'gpt4roi').glob('*.py'))
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / 'models/lmms')]

from region_release import write_release  # noqa: E402

#: The configs read four layers of the tower, the shallowest eleven before the last.
LAYERS = 12


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('release') / 'data'
    write_release(root)
    return root


@pytest.fixture(scope='module')
def folders(tmp_path_factory, tiny_llava, tiny_llava_config):
    """What each config names as its LMM -> a tiny one with as deep a tower."""
    root = tmp_path_factory.mktemp('lmms')
    llava, gemma, v0 = root / 'llava', root / 'gemma', root / 'v0'
    _deep_llava(llava, tiny_llava, tiny_llava_config)
    _deep_gemma(gemma)
    _assembled_v0(root, v0)
    return {
        'llava-hf/llava-1.5-7b-hf': llava,
        'google/gemma-3-4b-it': gemma,
        'checkpoints/llava_v0_7b': v0,
        'checkpoints/llava_v0_13b': v0,
    }


def _deep_llava(folder, tiny_llava, tiny_config):
    from transformers import LlavaForConditionalGeneration, LlavaProcessor

    config = copy.deepcopy(tiny_config)
    config.vision_config.num_hidden_layers = LAYERS
    # As the real one, more rows than tokens: the region's token gets one of them.
    config.text_config.vocab_size += 62
    config.text_config.max_position_embeddings = 2048
    torch.manual_seed(0)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    LlavaProcessor.from_pretrained(tiny_llava).save_pretrained(folder)


def _deep_gemma(folder):
    import families_modern as modern

    siglip = modern.siglip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modern, 'siglip', lambda *a: siglip(*a) | {'num_hidden_layers': LAYERS})
        # The real vocabulary has it.
        patch.setattr(
            modern,
            'gemma_tokenizer',
            lambda **named: modern.tiny_tokenizer(
                *('<start_of_turn>', '<end_of_turn>', '<unused0>'),
                bos='<bos>',
                eos='<eos>',
                image_token='<image>',
                **named,
            ),
        )
        modern.build_gemma3(folder)


def _assembled_v0(root, out):
    """By the tool, from the kinds of files that Vicuna, LLaVA and CLIP come in."""
    from tiny_sentencepiece import VOCAB_SIZE, write_sentencepiece_tokenizer
    from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM

    sizes = dict(hidden_size=32, intermediate_size=48, num_attention_heads=2)
    llama = LlamaConfig(
        **sizes, vocab_size=VOCAB_SIZE, num_hidden_layers=2, max_position_embeddings=2048
    )
    clip = CLIPVisionConfig(**sizes, num_hidden_layers=LAYERS, image_size=16, patch_size=4)
    torch.manual_seed(0)
    write_sentencepiece_tokenizer(root / 'vicuna', special={})
    LlamaForCausalLM(llama).save_pretrained(root / 'vicuna')
    CLIPVisionModel(clip).save_pretrained(root / 'clip')
    weights = {
        f'vision_model.{name.removeprefix("vision_model.")}': value
        for name, value in CLIPVisionModel(clip).state_dict().items()
    }
    (root / 'clip/model.safetensors').unlink()
    torch.save(weights, root / 'clip/pytorch_model.bin')
    projector = {'mm_projector.weight': torch.randn(32, 32), 'mm_projector.bias': torch.zeros(32)}
    torch.save(
        {f'model.{name}': value for name, value in projector.items()}
        | {'model.embed_tokens.weight': torch.randn(2, 32)},
        root / 'p.bin',
    )
    assemble_llava_v0(root / 'vicuna', root / 'p.bin', root / 'clip', out)


def leaf(name, data, folders):
    """The config with tiny files in the place of the real ones."""
    config = Config.fromfile(ROOT / f'gpt4roi/{name}.py')
    changes = {'data/': f'{data}/'} | folders
    sides = (16, 4) if 'v0' in name else (48, 8)

    def walk(node):
        if isinstance(node, dict) and isinstance(node.get('image_processor'), dict):
            node['image_processor'].update(size=sides[0], patch_size=sides[1])
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            if isinstance(node[key], str):
                for old, new in changes.items():
                    if node[key].startswith(old):
                        node[key] = node[key].replace(old, str(new))
            elif isinstance(node[key], (dict, list)):
                walk(node[key])

    walk(config._cfg_dict)
    return config


@pytest.mark.parametrize('name', LEAVES)
def test_a_leaf_takes_a_step_on_every_data_set(name, data, folders):
    config = leaf(name, data, folders)
    torch.manual_seed(0)
    model = MODELS.build(config.model).train()
    dataset = DATASETS.build(config.train_dataloader.dataset)
    batch = grounding_collate([dataset[i] for i in range(len(dataset))])
    names = {sample.sample_id.split('/')[0] for sample in batch['samples']}
    assert len(names) == len(config.train_dataloader.dataset.datasets)
    # One question of VCR mentions several objects, the other one a single one.
    assert all(skip.sample_id.startswith(('vcr_single', 'vcr_multi')) for skip in batch['skipped'])
    frozen = frozen_hashes(model)
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    loss = model(**batch, mode='loss')['loss_lm']
    loss.backward()
    assert torch.isfinite(loss) and all(
        p.grad is not None for p in model.parameters() if p.requires_grad
    )
    optimizer.step()
    changed = {n for n, p in model.named_parameters() if n in before and not p.equal(before[n])}
    parts = {'roi_extractor'} if 'stage1' in name else {'roi_extractor', 'lmm'}
    assert {n.split('.')[0] for n in changed} == parts
    assert frozen_hashes(model) == frozen
    if 'stage2' in name:
        for part in ('multi_modal_projector', 'language_model.layers', 'embed_tokens'):
            assert any(part in n for n in changed), part


@pytest.mark.parametrize('name', [name for name in LEAVES if 'stage2' in name])
def test_a_leaf_answers_every_task(name, data, folders):
    config = leaf(name, data, folders)
    model = MODELS.build(dict(config.model, max_new_tokens=2)).eval()
    for task, loader in config.test_dataloader.items():
        dataset = DATASETS.build(loader.dataset)
        predictions = model(**grounding_collate([dataset[0], dataset[1]]), mode='predict')
        assert len(predictions) == 2
        (metric,) = config.test_evaluator[task]
        if 'metrics' in metric:
            # Java takes ten seconds to start.
            metric.metrics = [name for name in metric.metrics if name != 'meteor']
        metric = METRICS.build(metric)
        metric.process({}, predictions)
        assert all(key.startswith(f'{task}/') for key in metric.conclude(metric.results))
        json.dumps(metric.results)
