"""The bootstrapping tool from the public file to the training file, and Pink in tools/test.py."""

import json
import sys
from pathlib import Path

import pytest
import torch

from flmm.apis.config import load_config
from flmm.apis.evaluate import evaluate
from flmm.datasets import Objects365Dataset
from flmm.datasets.toy.build import ToySettings, build_toy_world
from flmm.engine.checkpoint import trainable_state_dict
from flmm.registry import MODELS

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/toy/pink_tiny_llava.py'
sys.path[:0] = [str(ROOT / 'tools'), str(ROOT / 'tools/prepare_data')]


@pytest.fixture(scope='module')
def run_dir(tmp_path_factory):
    """Toy data where the config looks for them, seen from a folder of its own."""
    root = tmp_path_factory.mktemp('run')
    (root / 'checkpoints').symlink_to(ROOT / 'checkpoints')
    formats = ('refcoco', 'visual_genome', 'objects365')
    settings = ToySettings(num_train=2, num_val=2, formats=formats)
    build_toy_world(root / 'data/toy_pink', settings, quiet=True)
    return root


@pytest.fixture(scope='module')
def checkpoint(run_dir):
    config = load_config(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(run_dir)
        torch.manual_seed(0)
        model = MODELS.build(config.model)
    path = run_dir / 'pink.pth'
    torch.save({'state_dict': trainable_state_dict(model)}, path)
    return path


def test_from_public_boxes_to_kept_captions(run_dir, checkpoint, monkeypatch, capsys):
    import bootstrap
    import derive_pink

    monkeypatch.chdir(run_dir)
    objects365 = run_dir / 'data/toy_pink/objects365'
    boxes, out = run_dir / 'boxes.json', run_dir / 'out'
    assert (
        derive_pink.main(['objects365', str(objects365 / 'zhiyuan_objv2_val.json'), str(boxes)])
        == 0
    )
    arguments = [str(CONFIG), str(checkpoint), str(boxes), '--image-root', str(objects365 / 'val')]
    arguments += ['--out', str(out), '--min-area', '900', '--iou', '0.0', '--no-whole-image']
    arguments += ['--device', 'cpu', '--cfg-options', 'model.max_new_tokens=3']
    assert bootstrap.main(arguments) == 0
    assert 'kept.jsonl' in capsys.readouterr().out
    statistics = json.loads((out / 'statistics.json').read_text())
    large = [
        item
        for record in json.loads(boxes.read_text())
        for item in record['anno']
        if (item['bbox'][2] - item['bbox'][0]) * (item['bbox'][3] - item['bbox'][1]) >= 900
    ]
    assert statistics['images'] == 2 and statistics['captions'] == len(large)
    # An untrained model writes no boxes: nothing is kept, which is a result and no failure.
    assert statistics['kept_captions'] + statistics['format_errors'] == len(large)
    if statistics['kept_images']:
        assert len(Objects365Dataset(str(out / 'kept.jsonl'), str(objects365 / 'val')))

    # The same weights go on, and have nothing to do; others under the same name do not.
    before = next((out / 'generated').glob('*.jsonl')).read_bytes()
    assert bootstrap.main(arguments) == 0
    other = torch.load(checkpoint, weights_only=True)
    next(iter(other['state_dict'].values())).add_(1.0)
    (run_dir / 'later').mkdir()
    torch.save(other, run_dir / 'later/pink.pth')
    arguments[1] = str(run_dir / 'later/pink.pth')
    capsys.readouterr()
    assert bootstrap.main(arguments) == 2
    said = capsys.readouterr().err
    assert str(checkpoint) in said and arguments[1] in said and '--out' in said
    arguments[1] = str(checkpoint)
    assert bootstrap.main([*arguments, 'model.max_new_tokens=4']) == 2  # the config counts too
    assert CONFIG.name in capsys.readouterr().err
    assert next((out / 'generated').glob('*.jsonl')).read_bytes() == before


def test_errors_are_one_line_on_stderr(run_dir, checkpoint, monkeypatch, capsys):
    import bootstrap
    import derive_pink

    monkeypatch.chdir(run_dir)
    other = ROOT / 'configs/toy/f_lmm_tiny_llava_png_refcoco.py'
    arguments = [str(other), str(checkpoint), 'x.json', '--image-root', '.', '--out', 'o']
    assert bootstrap.main(arguments) == 2
    assert 'inference_pipeline' in capsys.readouterr().err
    public = run_dir / 'data/toy_pink/objects365/zhiyuan_objv2_val.json'
    assert bootstrap.main([str(CONFIG), str(checkpoint), str(public), *arguments[3:]]) == 2
    assert 'derive_pink.py' in capsys.readouterr().err
    (run_dir / 'bad.json').write_text('[]')
    assert derive_pink.main(['objects365', str(run_dir / 'bad.json'), 'o.json']) == 2
    assert 'COCO' in capsys.readouterr().err


def test_pink_is_scored_by_the_common_evaluation(run_dir, checkpoint, monkeypatch):
    monkeypatch.chdir(run_dir)
    options = ['model.max_new_tokens=3']
    metrics = evaluate(
        CONFIG,
        checkpoint,
        cfg_options=options,
        limit=2,
        tasks=['rec_refcoco', 'counting'],
        work_dir=run_dir / 'work',
    )
    assert metrics['rec_refcoco/num_phrases'] == 2
    assert metrics['counting/num_answers'] == 2
    assert (run_dir / 'work/results.json').is_file()
