"""The tool that compares kept captions with all."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools'))


def test_scores_are_printed_and_all_captions_written(tmp_path, capsys):
    import score_bootstrap

    record = {
        'id': 1,
        'image_id': 'a.jpg',
        'anno': [{'id': 11, 'bbox': [0, 0, 9, 9], 'ignore': 0, 'category_name': 'x'}],
        'pred': [
            {'object_id': 0, 'caption': 'red', 'bbox': [0, 0, 9, 9], 'format_error': 0},
            {'object_id': 0, 'caption': 'blue', 'bbox': [20, 20, 29, 29], 'format_error': 0},
        ],
    }
    (tmp_path / 'generated').mkdir()
    (tmp_path / 'generated/00000-of-00001.jsonl').write_text(json.dumps(record) + '\n')
    (tmp_path / 't.json').write_text(json.dumps({'annotations': [{'id': 11, 'caption': 'red'}]}))
    arguments = [str(tmp_path), str(tmp_path / 't.json'), '--kind', 'color', 'red', 'blue']
    assert score_bootstrap.main([*arguments, '--all', str(tmp_path / 'all.jsonl')]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[:3] == ['precision_all: 50', 'precision_kept: 100', 'gain: 50']
    assert len(json.loads((tmp_path / 'all.jsonl').read_text())['pred']) == 2
    assert score_bootstrap.main([str(tmp_path / 'none'), *arguments[1:]]) == 2
    assert 'error:' in capsys.readouterr().err
