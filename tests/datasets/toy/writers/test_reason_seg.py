"""ReasonSeg of a scene by hand: outlines of one object beside the picture."""

import json

from toy_by_hand import BOXES, write_one

from flmm.datasets.toy.writers.reason_seg import ReasonSegWriter


def test_a_target_is_outlined_by_its_border_pixels(tmp_path):
    kinds, ignored = set(), 0
    for seed in range(20):
        root = tmp_path / str(seed)
        write_one(ReasonSegWriter(root), seed=seed)
        paths = list((root / 'reason_seg/train').glob('*.json'))
        if not paths:
            continue
        assert paths[0].with_suffix('.jpg').is_file()
        record = json.loads(paths[0].read_text())
        kinds.add(record['is_sentence'])
        target, *rest = record['shapes']
        ignored += [shape['label'] for shape in rest] == ['ignore']
        xs, ys = zip(*target['points'], strict=True)
        # The last pixel itself, not what lies behind it.
        assert (min(xs), min(ys), max(xs) + 1, max(ys) + 1) in BOXES
        (text,) = record['text']
        assert text.endswith('?') == record['is_sentence']
    assert kinds == {True, False} and ignored
