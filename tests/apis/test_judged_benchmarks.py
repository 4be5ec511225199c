"""Benchmarks that ask a language model, from tools/test.py to the scores."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from fake_endpoint import running_endpoint

CONFIG = """
from flmm.datasets import grounding_collate

processor = dict(
    type='LMMProcessor',
    tokenizer='{lmm}',
    image_processor=dict(type='PadToSquareImageProcessor', size=48, patch_size=8),
)
steps = [dict(type='LoadImage'), dict(type='PrepareLMMInputs', processor=processor)]
model = dict(
    type='QuestionAnswering',
    lmm=dict(type='HFLMM', pretrained='{lmm}', dtype='float32'),
    tokenizer='{lmm}',
    max_new_tokens=3,
)
test_dataloader = dict()
for task, ann_file in dict(mmvet='{root}/mm-vet.json', pope='{root}').items():
    dataset = dict(type='VQABenchmark', benchmark=task, ann_file=ann_file, image_root='{root}')
    test_dataloader[task] = dict(
        batch_size=1,
        num_workers=0,
        collate_fn=dict(type=grounding_collate),
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(dataset, pipeline=steps),
    )
test_evaluator = dict(
    mmvet=[dict(type='VQAMetric', benchmark='mmvet')],
    pope=[dict(type='VQAMetric', benchmark='pope')],
)
env_cfg = dict(dist_cfg=dict(backend='gloo'))
default_scope = 'flmm'
"""
QUESTION = {'imagename': 'a.png', 'question': 'What is it?', 'answer': 'a star'}


@pytest.fixture
def config(tmp_path, tiny_llava):
    """File of a config that asks two questions of MM-Vet and one of POPE's kind."""
    Image.new('RGB', (40, 30), (90, 160, 30)).save(tmp_path / 'a.png')
    entry = {**QUESTION, 'capability': ['rec'], 'imagesource': 'x'}
    (tmp_path / 'mm-vet.json').write_text(json.dumps({'v1_0': entry, 'v1_1': entry}))
    row = {'question_id': 1, 'image': 'a.png', 'text': 'Is it red?', 'label': 'yes'}
    for setting in ('random', 'popular', 'adversarial'):
        (tmp_path / f'coco_pope_{setting}.json').write_text(json.dumps(row))
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.format(root=tmp_path, lmm=tiny_llava))
    return path


@pytest.fixture(scope='module')
def tool():
    """``tools/test.py``, whose name another module has."""
    path = Path(__file__).parents[2] / 'tools/test.py'
    spec = importlib.util.spec_from_file_location('tool_test', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_line_names_the_judge(config, tmp_path, capsys, tool):
    work = tmp_path / 'work'
    arguments = [str(config), '--work-dir', str(work), '--task']
    with running_endpoint() as endpoint:
        named = ['--judge-url', endpoint.url, '--judge-model', 'grader']
        endpoint.replies = [(200, '0.5')]
        assert tool.main([*arguments, 'mmvet', *named]) == 0
        # Both questions and answers are the same: one request.
        assert len(endpoint.seen) == 1 and endpoint.seen[0][2]['model'] == 'grader'
        metrics = json.loads((work / 'metrics.json').read_text())
        assert metrics['mmvet/accuracy'] == metrics['mmvet/rec/accuracy'] == 50
        record = json.loads((work / 'results.json').read_text())
        assert record['judge'] == {'model': 'grader', 'base_url': endpoint.url}
        assert record['tasks']['mmvet']['metrics']['mmvet']['protocol']['judge'] == 'Judge'
        # What is paid for is kept, also between runs.
        assert tool.main([*arguments, 'mmvet', *named, '--resume']) == 0
        assert len(endpoint.seen) == 1
        # The same by an override of the config, spelt out.
        spelt = 'flmm.apis.judge.Judge'
        options = [f'base_url={endpoint.url}', 'model=grader', f'type={spelt}']
        overrides = [f'test_evaluator.mmvet.0.judge.{option}' for option in options]
        endpoint.replies = [(200, '1')]
        assert tool.main([*arguments, 'mmvet', '--cfg-options', *overrides]) == 0
        metrics = json.loads((work / 'metrics.json').read_text())
        assert metrics['mmvet/accuracy'] == 100 and len(endpoint.seen) == 2
        assert tool.main([*arguments, 'pope', *named]) == 1
        assert 'None of the tasks pope asks a judge' in capsys.readouterr().err
    assert tool.main([*arguments, 'mmvet', '--judge-url', 'localhost']) == 1
