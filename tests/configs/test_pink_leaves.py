"""Pink's real configs on tiny random weights: every file where the config looks for it."""

import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from safetensors.torch import save_file

from flmm.datasets import grounding_collate
from flmm.engine.hooks.frozen_weights_hook import frozen_hashes
from flmm.registry import DATASETS, METRICS, MODELS

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / 'tools/prepare_data')]
LEAVES = ('pink_stage1', 'pink_stage2', 'pink_stage2_objects365')


@pytest.fixture(scope='module')
def weights(tmp_path_factory, tiny_tokenizer):
    """Folders of a tiny Llama with its tokenizer and a tiny CLIP, as the releases have them."""
    from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp('pink_weights')
    torch.manual_seed(0)
    llama = LlamaConfig(
        vocab_size=len(tiny_tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=tiny_tokenizer.bos_token_id,
        eos_token_id=tiny_tokenizer.eos_token_id,
        pad_token_id=tiny_tokenizer.pad_token_id,
    )
    LlamaForCausalLM(llama).save_pretrained(folder / 'llama')
    tiny_tokenizer.save_pretrained(folder / 'llama')
    clip = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    clip.save_pretrained(folder / 'clip')
    # The names that OpenAI's repository has.
    tower = {
        f'vision_model.{name.removeprefix("vision_model.")}': tensor
        for name, tensor in CLIPVisionModel(clip).state_dict().items()
    }
    save_file(tower, folder / 'clip/model.safetensors', metadata={'format': 'pt'})
    return folder


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A folder whose ``data`` has every file that the configs name."""
    import derive_pink
    from pink_files import write_pink_files

    root = tmp_path_factory.mktemp('pink_files')
    write_pink_files(root / 'data')
    icons = root / 'data/iconqa'
    made = str(icons / 'choose_txt_test.json')
    assert derive_pink.main(['iconqa', str(icons / 'test/choose_txt'), made]) == 0
    return root


@pytest.fixture
def load(weights, files, tiny_tokenizer, monkeypatch):
    """Function that loads a leaf with tiny sizes; paths of data stay the config's own."""
    monkeypatch.chdir(files)
    sizes = {'meta-llama/Llama-2-7b-chat-hf': 'llama', 'openai/clip-vit-large-patch14': 'clip'}

    def shrink(node):
        if isinstance(node, dict):
            node = {key: shrink(value) for key, value in node.items()}
            if 'patch_size' in node:
                node.update(size=32, patch_size=8)
            if 'vocab_size' in node:  # words, the image's token, 12 marks
                node['vocab_size'] = len(tiny_tokenizer) + 1 + 12
        elif isinstance(node, (list, tuple)):
            return [shrink(value) for value in node]
        return str(weights / sizes[node]) if isinstance(node, str) and node in sizes else node

    def make(name):
        config = Config.fromfile(ROOT / 'configs/pink' / f'{name}.py')
        return Config(shrink(config.to_dict()))

    return make


@pytest.mark.parametrize('name', LEAVES)
def test_a_stage_takes_a_step_over_all_its_data(name, load):
    config = load(name)
    torch.manual_seed(0)
    model = MODELS.build(config.model).train()
    dataset = DATASETS.build(config.train_dataloader.dataset)
    batch = grounding_collate([dataset[i] for i in range(len(dataset))])
    names = {sample.sample_id.split('/')[0] for sample in batch['samples']}
    assert not batch['skipped'] and len(names) == len(config.train_dataloader.dataset.datasets)
    frozen = frozen_hashes(model)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    before = {n: p.detach().clone() for n, p in trained.items()}
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-2)
    for _ in range(2):  # a bottleneck that gives zero passes nothing back the first time
        optimizer.zero_grad()
        loss = model(**batch, mode='loss')['loss_lm']
        loss.backward()
        optimizer.step()
    assert torch.isfinite(loss)
    changed = {n for n, p in trained.items() if not torch.equal(p, before[n])}
    assert changed == set(trained) and frozen_hashes(model) == frozen
    parts = {n.split('.')[0] for n in trained}
    assert parts == ({'lmm'} if name == 'pink_stage1' else {'lmm', 'adapters', 'token_rows'})
    assert {n.split('.')[2] for n in trained if n.startswith('lmm')} == {'model'}
    assert all('multi_modal_projector' in n for n in trained if n.startswith('lmm'))


def test_stage_2_answers_every_evaluation(load):
    config = load('pink_stage2')
    model = MODELS.build(dict(config.model, max_new_tokens=3)).eval()
    for task, loader in config.test_dataloader.items():
        dataset = DATASETS.build(loader.dataset)
        batch = grounding_collate([dataset[0]])
        assert not batch['skipped'], (task, batch['skipped'])
        predictions = model(**batch, mode='predict')
        for metric in config.test_evaluator[task]:
            metric = METRICS.build(metric)
            metric.process({}, predictions)
            values = metric.conclude(metric.results)
            assert values and all(key.startswith(metric.prefix) for key in values)


def test_okvqa_shows_the_pictures_it_asks_about(load):
    dataset = DATASETS.build(dict(load('pink_stage2').test_dataloader.okvqa.dataset, pipeline=[]))
    assert dataset[0].image_path == 'data/coco/val2014/COCO_val2014_000000000002.jpg'
