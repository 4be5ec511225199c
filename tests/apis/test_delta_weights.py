"""Weight differences: added and taken shard by shard, grown vocabularies, the flmm folder."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from flmm.apis.delta_weights import Shards, apply_delta, make_delta, to_flmm, tokens_of
from flmm.utils.errors import CheckpointError


def write_shards(folder, *parts, kind='bin'):
    folder.mkdir()
    index = {}
    for number, part in enumerate(parts):
        if kind == 'bin':
            name = f'pytorch_model-{number:05d}.bin'
            torch.save(part, folder / name)
        else:
            name = f'model-{number:05d}.safetensors'
            save_file(part, folder / name)
        index.update(dict.fromkeys(part, name))
    single = 'pytorch_model.bin' if kind == 'bin' else 'model.safetensors'
    (folder / f'{single}.index.json').write_text(json.dumps({'weight_map': index}))
    (folder / 'config.json').write_text('{}')
    return folder


@pytest.fixture
def base(tmp_path):
    torch.manual_seed(0)
    return write_shards(
        tmp_path / 'base',
        {
            'model.embed_tokens.weight': torch.randn(5, 3).half(),
            'lm_head.weight': torch.randn(5, 3),
        },
        {
            'model.layers.0.w': torch.randn(3, 3),
            'model.layers.0.rotary_emb.inv_freq': torch.ones(2),
        },
    )


@pytest.fixture
def target(tmp_path):
    torch.manual_seed(1)
    return write_shards(
        tmp_path / 'target',
        {'model.layers.0.w': torch.randn(3, 3), 'model.spi_module.x': torch.randn(2)},
        {'model.embed_tokens.weight': torch.randn(7, 3), 'lm_head.weight': torch.randn(7, 3)},
        kind='safetensors',
    )


def weights_of(folder):
    return {name: value for _, part in Shards(folder).parts() for name, value in part.items()}


def test_a_difference_taken_and_added_is_the_model(tmp_path, base, target):
    assert make_delta(base, target, tmp_path / 'delta') == 3
    delta = weights_of(tmp_path / 'delta')
    own = weights_of(base)
    # New rows of the vocabulary and new modules have no base.
    wanted = weights_of(target)['lm_head.weight']
    assert torch.allclose(delta['lm_head.weight'][:5], wanted[:5] - own['lm_head.weight'])
    assert torch.equal(delta['lm_head.weight'][5:], wanted[5:])
    assert apply_delta(base, tmp_path / 'delta', tmp_path / 'out') == 3
    for name, value in weights_of(tmp_path / 'out').items():
        assert torch.allclose(value, weights_of(target)[name], atol=1e-6), name
    assert (tmp_path / 'out' / 'config.json').is_file()


def test_one_file_at_a_time_is_in_memory(base):
    shards = Shards(base)
    shards['lm_head.weight']
    assert set(shards._loaded[1]) == {'model.embed_tokens.weight', 'lm_head.weight'}
    shards['model.layers.0.w']
    assert 'lm_head.weight' not in shards._loaded[1]


def test_what_does_not_belong_together_is_refused(tmp_path, base):
    other = write_shards(tmp_path / 'other', {'model.layers.0.w': torch.randn(4, 4)})
    with pytest.raises(CheckpointError, match='lacks 2 weights'):
        apply_delta(base, other, tmp_path / 'out')
    whole = {name: torch.randn(2, 2) for name in Shards(base).file_of}
    with pytest.raises(CheckpointError, match='has shape'):
        apply_delta(base, write_shards(tmp_path / 'whole', whole), tmp_path / 'out')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(CheckpointError, match='holds no weights'):
        Shards(tmp_path / 'empty')


def test_an_index_cannot_name_files_elsewhere(tmp_path):
    (tmp_path / 'model.safetensors.index.json').write_text(
        json.dumps({'weight_map': {'a': '../../etc/passwd'}})
    )
    with pytest.raises(CheckpointError, match='no plain file name'):
        Shards(tmp_path)


def test_the_parts_of_the_release_go_where_flmm_reads_them(tmp_path):
    model = write_shards(
        tmp_path / 'model',
        {
            'model.layers.0.w': torch.randn(2),
            'model.mm_projector.weight': torch.randn(2, 2),
            'model.spi_module.roi_align.updims.bias': torch.randn(2),
            'lm_head.weight': torch.randn(2, 2),
        },
    )
    vision = write_shards(
        tmp_path / 'clip',
        {
            'vision_model.pre_layrnorm.weight': torch.randn(2),
            'vision_model.embeddings.position_ids': torch.arange(3),
            'text_model.x': torch.randn(2),
        },
    )
    assert to_flmm(model, vision, tmp_path / 'out') == (4, 1)
    assert set(Shards(tmp_path / 'out').file_of) == {
        'model.language_model.layers.0.w',
        'model.multi_modal_projector.linear_1.weight',
        'lm_head.weight',
        'model.vision_tower.pre_layrnorm.weight',
    }
    extractor = load_file(tmp_path / 'out' / 'roi_extractor.safetensors')
    assert set(extractor) == {'roi_extractor.roi_align.updims.bias'}


def test_missing_tokens_are_named(tmp_path):
    (tmp_path / 'added_tokens.json').write_text(json.dumps({'<im_patch>': 1, '<bbox>': 2}))
    with pytest.raises(CheckpointError, match='<im_start>'):
        tokens_of(tmp_path)


# A process of its own that prints how much memory it came to need for itself, in bytes. Mapped
# files are not among it: the system takes their pages back whenever it wants.
_MEASURED = """
import sys, threading, time
from flmm.apis.delta_weights import apply_delta, to_flmm

def own_bytes():
    status = open('/proc/self/status').read()
    return int(status.split('RssAnon:')[1].split()[0]) * 1024

peak, ended = 0, threading.Event()
def watch():
    global peak
    while not ended.is_set():
        peak = max(peak, own_bytes())
        time.sleep(0.0005)

before = own_bytes()
watcher = threading.Thread(target=watch)
watcher.start()
base, delta, vision, out, parts = sys.argv[1:]
apply_delta(base, delta, out)
to_flmm(out, vision, parts)
ended.set()
watcher.join()
print(peak - before)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_less_memory_than_one_shard_is_needed(tmp_path):
    def shard(number):
        names = [f'model.layers.{number}.w{i}' for i in range(6)]
        return {name: torch.full((1024, 4096), 0.5, dtype=torch.float16) for name in names}

    base = write_shards(tmp_path / 'base', shard(0), shard(1), kind='bin')
    delta = write_shards(tmp_path / 'delta', shard(0), shard(1), kind='safetensors')
    vision = write_shards(tmp_path / 'clip', {'vision_model.w': torch.zeros(2)})
    folders = base, delta, vision, tmp_path / 'out', tmp_path / 'flmm'
    command = [sys.executable, '-c', _MEASURED, *map(str, folders)]
    # Without this glibc keeps what was given back, for weights as small as these.
    env = os.environ | {'MALLOC_MMAP_THRESHOLD_': '65536'}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    one_shard = 6 * 1024 * 4096 * 2
    # The sum of one weight, a sixth of a shard, and pieces in float32.
    assert int(run.stdout) < 0.7 * one_shard
    assert torch.equal(weights_of(tmp_path / 'out')['model.layers.1.w5'], torch.ones(1024, 4096))
