"""VisCoT of a scene by hand: the box holds what the answer is about."""

import json

import pytest
from toy_by_hand import BOXES, KINDS, write_one

from flmm.datasets.toy.writers.viscot import VisCoTWriter
from flmm.datasets.viscot import VisCoTDataset


def test_the_answer_is_true_of_the_object_in_the_box(tmp_path):
    seen = 0
    for seed in range(12):
        root = tmp_path / str(seed)
        write_one(VisCoTWriter(root), seed=seed)
        entries = json.loads((root / 'viscot/toy_train.json').read_text())
        if not entries:
            continue
        seen += 1
        dataset = VisCoTDataset(str(root / 'viscot/toy_train.json'), str(root / 'viscot'))
        meta = dataset[0].meta
        index = BOXES.index(tuple(int(side) for side in meta['box_xyxy']))
        assert meta['answer'] in (*KINDS[index], 'small')
        shares = json.loads(entries[0]['conversations'][1]['value'])
        x0, y0, x1, y1 = BOXES[index]
        assert shares == pytest.approx([x0 / 40, y0 / 20, x1 / 40, y1 / 20], abs=5e-4)
        assert (root / 'viscot' / entries[0]['image'][0]).is_file()
    assert seen > 3
