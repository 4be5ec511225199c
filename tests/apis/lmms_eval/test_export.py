import json

import numpy as np

from flmm.apis.lmms_eval.export import export_questions
from flmm.structures import GroundingSample, Phrase, SkippedSample, TextPiece


def test_questions_keep_the_order_of_the_text(doc):
    assert doc['text'] == '[the (sky)] and [a cat]'
    assert doc['isthing'] == [False, True]
    assert json.loads(json.dumps(doc)) == doc


def test_export_leaves_out_what_cannot_be_used(tmp_path, capsys):
    good = GroundingSample(
        'a', image_path='a.png', ori_shape=(1, 2), pieces=[TextPiece('x', 0)],
        phrases=[Phrase('x')], gt_masks=np.ones((1, 1, 2), bool),
    )  # fmt: skip
    items = [good, SkippedSample('b', 'image_unreadable', 'gone')]
    assert export_questions(items, tmp_path / 'q.jsonl') == 1
    assert 'b is left out' in capsys.readouterr().out
    assert len((tmp_path / 'q.jsonl').read_text().splitlines()) == 1
