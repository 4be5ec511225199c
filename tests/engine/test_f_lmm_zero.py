"""F-LMM on several processes: all strategies train as one process does, also without a phrase."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from flmm.engine.export import export_weights

PHRASES = (
    ('a red circle', 'the blue square'),
    ('a big yellow star',),
    ('two green triangles', 'the grass', 'a red circle'),
)


def without_phrase(sample):
    """The sample as if its text had been cut off before the first phrase."""
    inputs = sample.lmm_inputs
    cut_off = torch.full_like(inputs.phrase_ids, -1)
    return replace(sample, lmm_inputs=replace(inputs, phrase_ids=cut_off))


@pytest.fixture(scope='module')
def job(tiny_llava, tiny_sam, make_sample, tmp_path_factory):
    path = tmp_path_factory.mktemp('samples') / 'samples.pt'
    # Different numbers of phrases: the mean over masks must not become one over processes.
    samples = [make_sample(phrases=PHRASES[i % 3], seed=i) for i in range(8)]
    # One of a process alone in its batch: only the other runs the LMM and the heads.
    samples = [without_phrase(s) if i in (2, 5, 6) else s for i, s in enumerate(samples)]
    torch.save(samples, path)
    return dict(
        model='f_lmm',
        llava=str(tiny_llava),
        sam=str(tiny_sam),
        samples=str(path),
        maps=12,
        steps=4,
        interval=2,
        dropout=0,
        # Else the first steps of Adam follow the sign of a gradient, which rounding decides near 0.
        eps=0.1,
        # DeepSpeed decays weights that nothing reads, such as SAM's guess of its IoU.
        weight_decay=0,
    )


@pytest.fixture(scope='module')
def runs(lab, job):
    """By strategy: the run of 4 steps over all 8 samples, in batches of 2."""
    found = {'none': lab('f-lmm-none', batch=2, **job)}
    for strategy in ('ddp', 'zero1', 'zero2', 'zero3'):
        found[strategy] = lab(f'f-lmm-{strategy}', strategy=strategy, world=2, batch=1, **job)
    for strategy, run in found.items():
        assert run['error'] is None, (strategy, run['error'])
    return found


@pytest.mark.parametrize('strategy', ['ddp', 'zero1', 'zero2', 'zero3'])
def test_losses_are_those_of_one_process(runs, strategy):
    assert runs[strategy]['losses'] == pytest.approx(runs['none']['losses'], abs=1e-5)


def test_layers_that_are_shared_out_change_nothing(runs):
    # The same heads on the same attention and hidden states, to the last bit.
    assert runs['zero3']['losses'] == runs['zero2']['losses']
    assert runs['zero3']['digest'] == runs['zero2']['digest']


def test_all_strategies_export_the_same_folder(lab, runs, job):
    config = {'model': {'type': 'FLMM', 'lmm': {'pretrained': job['llava']}}}
    folders = {}
    for strategy in runs:
        folders[strategy] = lab.folder / f'f-lmm-export-{strategy}'
        export_weights(config, lab.folder / f'f-lmm-{strategy}' / 'iter_4.pth', folders[strategy])
    expected = load_file(folders['none'] / 'model.safetensors')
    assert not any(name.startswith('lmm.') for name in expected)
    about = json.loads((folders['none'] / 'config.json').read_text())
    for folder in folders.values():
        assert json.loads((folder / 'config.json').read_text()) == about
        assert (folder / 'README.md').read_text() == (folders['none'] / 'README.md').read_text()
        weights = load_file(folder / 'model.safetensors')
        assert weights.keys() == expected.keys()
        for name, weight in weights.items():
            assert (weight - expected[name]).abs().max() < 1e-5, (folder.name, name)


def test_zero_3_validates_unequal_shares_and_resumes_bitwise(lab, job, runs):
    # Samples 0 and 2 for one process, 1 and 3 for the other; 2 has no phrase, so that the one runs
    # the LMM once and the other twice.
    job = dict(job, strategy='zero3', world=2, batch=1, validate=4)
    killed = lab('f-lmm-killed', kill_step=3, **job)
    assert killed['codes'] == [-9, -9]
    resumed = lab('f-lmm-killed', resume=True, **job)
    assert resumed['error'] is None, resumed['error']
    assert min(resumed['losses']) == 3
    assert resumed['digest'] == runs['zero3']['digest']


def test_one_process_has_all_shares(lab, job, runs):
    alone = lab('f-lmm-alone', strategy='zero3', batch=2, **dict(job, steps=2))
    assert alone['error'] is None, alone['error']
    expected = {step: loss for step, loss in runs['none']['losses'].items() if step <= 2}
    assert alone['losses'] == pytest.approx(expected, abs=1e-5)


def test_a_partitioned_bf16_lmm_gives_what_a_whole_one_does(lab, job):
    job = dict(job, world=2, batch=1, steps=2, lmm_dtype='bfloat16')
    whole, shared_out = (
        lab(f'f-lmm-bf16-{strategy}', strategy=strategy, **job) for strategy in ('zero2', 'zero3')
    )
    assert whole['error'] is None and shared_out['error'] is None, shared_out['error']
    assert shared_out['losses'] == whole['losses']
    assert shared_out['digest'] == whole['digest']
