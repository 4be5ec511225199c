"""REC of modern LMMs from their text: leaves on tiny random models, real files of RefCOCO."""

import importlib
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from flmm.datasets import grounding_collate
from flmm.registry import DATASETS, METRICS, MODELS

ROOT = Path(__file__).parents[2]
for folder in ('tests/models/lmms', 'tests/configs'):
    sys.path.insert(0, str(ROOT / folder))
importlib.import_module('families_modern')  # puts them into FAMILIES
FAMILIES = importlib.import_module('family_builders').FAMILIES

# The object is 4..14 x 6..15 of an image of 40 x 30 pixels.
THOUSANDTHS = 'It is at (100,200),(350,500).'
#: Leaf -> family under test, the true box as this LMM writes it (None: see the test).
LEAVES = {
    'qwen2_vl_7b': ('qwen2_vl', THOUSANDTHS),
    'qwen2_5_vl_7b': ('qwen2_5_vl', None),
    'qwen3_vl_8b': ('qwen3_vl', '[{"bbox_2d": [100, 200, 350, 500], "label": "star"}]'),
    'paligemma2_3b': ('paligemma2', '<loc0205><loc0102><loc0512><loc0358> star'),
}
SPLITS = ('refcoco_val', 'refcoco_testA', 'refcoco_testB', 'refcocog_val', 'refcocog_test')


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A folder whose ``data`` has RefCOCO, RefCOCO+ and RefCOCOg."""
    from pink_files import write_pink_files

    root = tmp_path_factory.mktemp('rec')
    write_pink_files(root / 'data')
    return root


@pytest.mark.parametrize('name', LEAVES)
def test_boxes_are_asked_for_and_read_in_the_lmm_s_own_way(name, files, tmp_path, monkeypatch):
    monkeypatch.chdir(files)
    family, text = LEAVES[name]
    FAMILIES[family].build(tmp_path)
    config = Config.fromfile(ROOT / f'configs/vqa/{name}_rec.py')
    assert len((ROOT / f'configs/vqa/{name}_rec.py').read_text().splitlines()) < 40
    assert set(SPLITS) < set(config.test_dataloader) and len(config.test_dataloader) == 8
    config.model.lmm.update(pretrained=str(tmp_path), dtype='float32')
    config.model.update(tokenizer=str(tmp_path), max_new_tokens=2)
    dataset_config = config.test_dataloader.refcoco_plus_testB.dataset
    dataset_config.pipeline[-1].processor.pretrained = str(tmp_path)
    model = MODELS.build(config.model).eval()
    dataset = DATASETS.build(dataset_config)
    (prediction,) = model(**grounding_collate([dataset[0]]), mode='predict')
    assert isinstance(prediction.text, str)
    sample = prediction.sample
    assert 'the red star' in sample.prompt.lower() and sample.prompt.count('<image>') == 1
    if text is None:
        rows, columns = sample.lmm_inputs.resized_shape
        assert (rows, columns) != (30, 40)
        shares = (0.1, 0.2, 0.35, 0.5)
        text = str([s * side for s, side in zip(shares, (columns, rows) * 2, strict=True)])
    for answer, right in ((text, 100.0), ('There is none.', 0.0)):
        prediction.text = answer
        (metric,) = config.test_evaluator.refcoco_plus_testB
        metric = METRICS.build(metric)
        metric.process({}, [prediction])
        values = metric.conclude(metric.results)
        assert values['refcoco_plus_testB/precision@0.9'] == right
