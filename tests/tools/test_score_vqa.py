"""The command line that scores a file of answers."""

import importlib.util
import json
from pathlib import Path

from PIL import Image

SPEC = importlib.util.spec_from_file_location(
    'score_vqa', Path(__file__).parents[2] / 'tools/score_vqa.py'
)
score_vqa = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(score_vqa)


def test_a_total_that_lacks_tasks_is_null_in_the_file_and_explained_on_the_screen(tmp_path, capsys):
    (tmp_path / 'mme/OCR').mkdir(parents=True)
    Image.new('RGB', (8, 8)).save(tmp_path / 'mme/OCR/1.png')
    (tmp_path / 'mme/OCR/1.txt').write_text('Is it 1?\tYes\nIs it 2?\tNo\n')
    answers, out = tmp_path / 'answers.json', tmp_path / 'scores.json'
    answers.write_text(json.dumps({'OCR/1/1': 'Yes', 'OCR/1/2': 'No'}))
    arguments = ['mme', str(tmp_path / 'mme'), str(answers), '--out', str(out)]
    assert score_vqa.main(arguments) == 0
    said = capsys.readouterr().out
    assert 'perception is nan: there are no questions of existence, count' in said

    def refuse(name):
        raise AssertionError(f'{name} is no JSON')

    metrics = json.loads(out.read_text(), parse_constant=refuse)['metrics']
    assert metrics['perception'] is None and metrics['partial_perception'] == 200
    assert score_vqa.main(['mme', str(tmp_path / 'none'), str(answers)]) == 1
    assert 'error: ' in capsys.readouterr().err
