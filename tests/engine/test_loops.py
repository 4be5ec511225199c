import copy
import itertools
import sys
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from pytest import approx

from flmm.apis.config import load_config
from flmm.engine.loops import MultiTaskTestLoop
from flmm.engine.runner import FLMMRunner
from flmm.utils.errors import FLMMError

STRIPES = Path(__file__).parents[1] / 'stripes'
sys.path.insert(0, str(STRIPES))


# mmengine keeps one log per name of an experiment.
NUMBERS = itertools.count()


class Recorder(Hook):
    """Writes down which hooks ran on which task."""

    def __init__(self):
        self.calls = []

    def before_test_epoch(self, runner):
        self.calls.append('before epoch')

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        assert len(runner.test_dataloader) == 3
        self.calls.append((runner.test_loop.task, batch_idx, len(outputs)))

    def after_test_epoch(self, runner, metrics=None):
        self.calls.append(sorted(metrics))


@pytest.fixture
def make_runner(tmp_path):
    def make(change=None, **test_cfg):
        cfg = load_config(STRIPES / 'stripes_config.py')
        loaders, evaluators = copy.deepcopy((cfg.test_dataloader, cfg.test_evaluator))
        if change:
            change(loaders, evaluators)
        recorder = Recorder()
        runner = FLMMRunner(
            model=cfg.model,
            work_dir=str(tmp_path),
            test_dataloader=loaders,
            test_evaluator=evaluators,
            test_cfg=dict(type=MultiTaskTestLoop, **test_cfg),
            custom_hooks=[recorder],
            default_hooks=dict(checkpoint=None, param_scheduler=None),
            log_level='ERROR',
            experiment_name=f'{tmp_path.name}_{next(NUMBERS)}',
        )
        return runner, recorder

    return make


def test_every_task_is_scored_and_the_metrics_are_flat(make_runner):
    runner, recorder = make_runner()
    metrics = runner.test()
    assert metrics['res/ciou'] == approx(100.0)
    # Coarse masks have 2, 4, 4, 4, 4 of 2, 4, 6, 8, 10 columns: 18 / 30.
    assert metrics['coarse/res/ciou'] == approx(60.0)
    # One phrase of five is skipped; four have IoU 1, which counts as 0.99999.
    assert metrics['png/average_recall'] == approx(100 * (4 * 0.99999 + 0.00001) / 5)
    assert metrics['png/num_skipped'] == 1
    assert metrics['png/num_phrases'] == 5


def test_hooks_see_one_epoch_over_all_tasks(make_runner):
    runner, recorder = make_runner()
    metrics = runner.test()
    assert recorder.calls == [
        'before epoch',
        ('res', 0, 2),
        ('res', 1, 2),
        ('res', 2, 1),
        ('png', 0, 2),
        ('png', 1, 1),
        ('png', 2, 1),
        sorted(metrics),
    ]


def test_records_say_protocol_and_what_was_skipped(make_runner):
    runner, _ = make_runner(tasks=['png'])
    runner.test()
    [(task, record)] = runner.test_loop.records.items()
    assert task == 'png'
    assert record['num_samples'] == 5
    assert record['skipped_samples'] == {'image_unreadable': 1}
    assert record['dataset'] == {'dataset': 'stripes'}
    assert record['metrics']['png']['type'] == 'PNGMetric'
    assert record['metrics']['png']['protocol']['accuracy@0.5'] == 'IoU > 0.5'
    assert record['num_reused'] == 0 and record['samples_per_second'] > 0
    lines = runner.test_loop.lines['png']
    assert [line['id'] for line in lines] == [f'stripes/00{i}' for i in range(5)]
    assert lines[2]['skipped'] == 'image_unreadable' and lines[2]['detail'] == 'gone.jpg'
    assert lines[0]['phrases'][0]['box_xyxy'] == (0, 0, 2, 10)


def test_limit_takes_the_first_samples(make_runner):
    def only_batches_of_one(loaders, evaluators):
        loaders['res']['batch_size'] = 1

    runner, _ = make_runner(only_batches_of_one, tasks=['res'], limit=3)
    metrics = runner.test()
    assert metrics['res/num_phrases'] == 3
    # Coarse: 2, 4, 4 of 2, 4, 6.
    assert metrics['coarse/res/ciou'] == approx(100 * 10 / 12)
    assert runner.test_loop.records['res']['dataset'] == {'dataset': 'stripes', 'limit': 3}


def test_a_batch_of_skipped_samples_only_is_no_problem(make_runner):
    def skip_all(loaders, evaluators):
        loaders['png']['dataset']['skip'] = [0, 1, 2, 3, 4]

    runner, _ = make_runner(skip_all, tasks=['png'])
    metrics = runner.test()
    assert metrics['png/num_skipped'] == 5
    assert metrics['png/accuracy@0.5'] == 0.0


def test_an_unknown_task_names_the_known_ones(make_runner):
    runner, _ = make_runner(tasks=['refcoco'])
    with pytest.raises(FLMMError, match='refcoco; the config has res, png'):
        runner.test()


def test_metrics_that_would_overwrite_each_other_are_refused_before_the_work(make_runner):
    def same_prefix(loaders, evaluators):
        evaluators['png'][0]['prefix'] = 'res'

    runner, recorder = make_runner(same_prefix)
    with pytest.raises(FLMMError, match="res and png both have the prefix 'res'"):
        runner.test()
    assert recorder.calls == []


def test_loaders_and_metrics_must_name_the_same_tasks(make_runner):
    runner, _ = make_runner(lambda loaders, evaluators: evaluators.pop('png'))
    with pytest.raises(FLMMError, match="'png'"):
        runner.test()


def test_broken_data_stop_the_run_before_its_work_unless_skipping_is_asked_for(make_runner):
    runner, recorder = make_runner(on_invalid='error')
    with pytest.raises(FLMMError, match=r'(?s)png.*stripes/002: gone\.jpg.*--skip-invalid'):
        runner.test()
    assert recorder.calls == []


def test_what_only_a_try_can_tell_stops_the_run_where_it_is_found(make_runner, monkeypatch):
    # Like an image that is there but cannot be decoded.
    monkeypatch.setattr('stripes_parts.Stripes.problems', lambda self, count=None: iter(()))
    runner, _ = make_runner(on_invalid='error', tasks=['png'])
    with pytest.raises(FLMMError, match=r'png, stripes/002: gone\.jpg'):
        runner.test()


def test_a_finished_run_resumes_without_predicting_again(make_runner, tmp_path, monkeypatch):
    options = dict(samples_dir=str(tmp_path / 'samples'), fingerprints={'res': 'a', 'png': 'b'})
    runner, _ = make_runner(**options)
    first = runner.test()
    monkeypatch.setattr('stripes_parts.HalfRight.forward', None)
    runner, recorder = make_runner(**options, resume=True)
    monkeypatch.setattr(Recorder, 'after_test_epoch', lambda self, runner, metrics=None: None)
    assert runner.test() == approx(first, nan_ok=True)
    assert runner.test_loop.records['png']['num_reused'] == 5
    assert runner.test_loop.records['png']['skipped_samples'] == {'image_unreadable': 1}
    assert sorted(path.name for path in (tmp_path / 'samples').iterdir()) == [
        'fingerprints.json',
        'png.jsonl',
        'res.jsonl',
    ]


def test_a_lower_limit_takes_only_its_own_samples_from_an_earlier_run(
    make_runner, tmp_path, monkeypatch
):
    monkeypatch.setattr(Recorder, 'after_test_iter', lambda *args, **kwargs: None)
    options = dict(tasks=['res'], samples_dir=str(tmp_path / 'samples'), fingerprints={'res': 'a'})
    make_runner(**options)[0].test()
    runner, _ = make_runner(**options, resume=True, limit=2)
    metrics = runner.test()
    assert metrics['res/num_phrases'] == 2
    record = runner.test_loop.records['res']
    assert (record['num_samples'], record['num_reused']) == (2, 2)
    assert record['samples_per_second'] == 0
    # A higher one goes on from there.
    runner, _ = make_runner(**options, resume=True, limit=4)
    assert runner.test()['res/num_phrases'] == 4
    assert runner.test_loop.records['res']['num_reused'] == 2


def test_results_of_another_model_are_not_resumed(make_runner, tmp_path):
    options = dict(samples_dir=str(tmp_path / 'samples'), tasks=['res'])
    make_runner(**options, fingerprints={'res': 'a'})[0].test()
    runner, _ = make_runner(**options, fingerprints={'res': 'other'}, resume=True)
    with pytest.raises(FLMMError, match=r'res\.jsonl was made with another model'):
        runner.test()


def test_a_system_that_loses_a_sample_is_an_error(make_runner, monkeypatch):
    runner, _ = make_runner(tasks=['res'])
    whole = runner.model.forward
    monkeypatch.setattr(runner.model, 'forward', lambda **batch: whole(**batch)[:1])
    with pytest.raises(FLMMError, match="2 of 5 samples of task res .*'stripes/001'"):
        runner.test()


def test_two_samples_with_one_id_are_an_error(make_runner, monkeypatch):
    monkeypatch.setattr('stripes_parts.Stripes.sample_id', lambda self, index: 'same')
    runner, _ = make_runner(tasks=['res'])
    with pytest.raises(FLMMError, match="Samples 0 and 1 of task res both have the id 'same'"):
        runner.test()
