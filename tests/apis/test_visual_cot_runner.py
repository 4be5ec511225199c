import json
from argparse import Namespace
from pathlib import Path

import pytest
from PIL import Image
from pytest import approx

from flmm.apis import visual_cot_runner
from flmm.apis.judge import JudgeError
from flmm.apis.visual_cot import VisualCoT
from flmm.apis.visual_cot_runner import run_visual_cot
from flmm.utils.errors import FLMMError


def question(text, answer):
    return {
        'dataset': 'x', 'split': 'val', 'question_id': 0,
        'image': ['a.png', 'a.png###[2, 2, 20, 20]'],
        'conversations': [
            {'from': 'human', 'value': f'<image>\n{text}'},
            {'from': 'gpt', 'value': '[0, 0, 1, 1]'},
            {'from': 'human', 'value': '<image>'},
            {'from': 'gpt', 'value': answer},
        ],
    }  # fmt: skip


@pytest.fixture(scope='module')
def files(tiny_config, tmp_path_factory):
    """Config, image and a set of two questions."""
    folder = tmp_path_factory.mktemp('visual_cot')
    tiny_config.dump(folder / 'config.py')
    Image.new('RGB', (40, 30), 'red').save(folder / 'a.png')
    questions = [question('What is it?', 'a circle'), question('Which colour?', 'red')]
    (folder / 'q.json').write_text(json.dumps(questions))
    return folder


@pytest.fixture
def run(files, tmp_path):
    """Runs the set with arguments as the tool reads them."""

    def call(confirm=lambda cost: True, **changes):
        arguments = dict(
            config=files / 'config.py', checkpoint=None, questions=files / 'q.json',
            image_root=files, mode='v2', images='side_by_side', box_scale=1.5, work_dir=tmp_path,
            limit=None, device='cpu', cfg_options=['log_level=ERROR'], judge_url=None,
            judge_model=None, judge_key_env='KEY', price_in=None, price_out=None,
        )  # fmt: skip
        return run_visual_cot(Namespace(**{**arguments, **changes}), confirm)

    return call


def results(folder, mode='v2'):
    return json.loads((Path(folder) / f'results_{mode}.json').read_text())


def test_answers_scores_and_where_they_come_from_are_written(run, files, tmp_path):
    flat = run()
    assert flat['viscot/num_questions'] == 2 and 0 <= flat['viscot/box_iou'] <= 100
    record = results(tmp_path)
    assert record['metrics']['box_iou'] == approx(flat['viscot/box_iou'])
    assert record['protocol']['images'] == 'side_by_side' and record['protocol']['prompts']['think']
    assert record['config']['hash'].startswith('sha256:') and 'torch' in record['versions']
    assert list(record['data']) == [str(files / 'q.json')]
    assert all(name.endswith('.safetensors') for name in record['weights'])
    assert record['wall_seconds'] > 0
    assert [entry['truth'] for entry in record['entries']] == ['a circle', 'red']


def test_a_second_run_takes_the_answers_of_the_first(run, tmp_path, monkeypatch):
    first = run(limit=1)
    answered = (tmp_path / 'answers_v2.jsonl').read_bytes()
    assert first['viscot/num_questions'] == 1
    run()
    assert (tmp_path / 'answers_v2.jsonl').read_bytes().startswith(answered)
    monkeypatch.setattr(VisualCoT, '__call__', None)
    assert run()['viscot/num_questions'] == 2


@pytest.mark.parametrize('change', [{'box_scale': 2.0}, {'images': 'crop'}, {'questions': 'other'}])
def test_answers_that_were_got_otherwise_are_not_taken(run, files, tmp_path, change):
    run()
    if 'questions' in change:
        change = {'questions': tmp_path / 'other.json'}
        change['questions'].write_text(json.dumps([question('How many?', 'one')]))
    with pytest.raises(FLMMError, match='another fingerprint'):
        run(**change)


class BrokenJudge:
    def __init__(self, *args, **kwargs):
        pass

    def estimate(self, items):
        return Namespace(requests=len(items))

    def score(self, *item):
        raise JudgeError('no usable score')


def test_what_a_judge_fails_at_is_kept_without_it(run, tmp_path, monkeypatch):
    monkeypatch.setattr(visual_cot_runner, 'Judge', BrokenJudge)
    judged = dict(judge_url='http://localhost:1/v1', judge_model='m')
    with pytest.raises(FLMMError, match='not confirmed'):
        run(confirm=lambda cost: False, **judged)
    with pytest.raises(JudgeError):
        run(**judged)
    assert 'judge' not in results(tmp_path)['metrics']
    assert results(tmp_path)['metrics']['num_questions'] == 2
    monkeypatch.setattr(BrokenJudge, 'score', lambda self, *item: 0.25)
    assert run(**judged)['viscot/judge'] == approx(25.0)
    record = results(tmp_path)
    assert record['judge']['model'] == 'm' and record['entries'][0]['judge'] == 0.25


def test_a_missing_config_or_set_is_a_typed_error(run, tmp_path):
    for change in ({'config': tmp_path / 'no.py'}, {'questions': tmp_path / 'no.json'}):
        with pytest.raises(FLMMError, match='no'):
            run(**change)


def test_at_once_nothing_is_cropped(run, tmp_path):
    run(mode='v3', limit=1)
    record = results(tmp_path, 'v3')
    assert record['metrics']['box_iou'] is None and record['entries'][0]['box_xyxy'] is None
