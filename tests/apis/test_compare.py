import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from flmm.apis.analyze import analyze
from flmm.apis.compare import compare, format_interval, print_comparison
from flmm.apis.evaluate import evaluate
from flmm.evaluation.comparison import Interval
from flmm.utils.errors import FLMMError

STRIPES = Path(__file__).parents[1] / 'stripes'
sys.path.insert(0, str(STRIPES))


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('runs')
    for name in ('a', 'b'):
        evaluate(
            STRIPES / 'stripes_config.py',
            None,
            work_dir=folder / name,
            skip_invalid=True,
            cfg_options=['log_level=ERROR'],
        )
    # As if run b had missed the second sample, in a text with an attack.
    path = folder / 'b/samples/res.jsonl'
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]['entries']['res']['intersection'] = [0]
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    path = folder / 'a/samples/res.jsonl'
    path.write_text(path.read_text().replace('a stripe', '<script>alert(1)</script>'))
    return folder / 'a', folder / 'b'


@pytest.fixture(scope='module')
def compared(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp('compare')
    return compare(runs, out, resamples=100), out


def test_the_difference_is_found(compared, capsys, monkeypatch):
    results, out = compared
    assert [r.prefix for r in results] == ['res', 'coarse/res', 'png']
    # 260 of 300 pixels instead of all: the second stripe has 40.
    assert results[0].comparison.differences['ciou'][0].value == pytest.approx(-100 * 40 / 300)
    assert results[0].comparison.wins == ((0, 4, 1),)
    content = json.loads((out / 'compare.json').read_text())
    assert list(content['runs']) == ['a', 'b']
    assert content['tasks'][0]['better_equal_worse'] == [[0, 4, 1]]
    monkeypatch.setenv('COLUMNS', '70')
    print_comparison(results, ['a', 'b'])
    # What is longer than the terminal's line wraps.
    printed = ' '.join(capsys.readouterr().out.split())
    assert 'better on 0, equal on 4, worse on 1' in printed
    assert 'average_recall_singular' in printed and 'average_recall_stuff' in printed


def test_the_page_needs_nothing_else_and_escapes_texts(compared):
    page = (compared[1] / 'compare.html').read_text()
    assert page.count('<article>') == 1
    assert 'data:image/jpeg;base64,' in page
    assert '<script' not in page and '&lt;script&gt;alert(1)' in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)


def test_runs_without_a_common_task_cannot_be_compared(runs, tmp_path):
    with pytest.raises(FLMMError, match='nope.*common are res, png'):
        compare(runs, tmp_path, tasks=['nope'])
    with pytest.raises(FLMMError, match='at least two'):
        compare(runs[:1], tmp_path)


def changed_metric(run, folder, **changes):
    shutil.copytree(run, folder)
    path = folder / 'results.json'
    record = json.loads(path.read_text())
    record['tasks']['res']['metrics']['res'].update(changes)
    path.write_text(json.dumps(record))
    return folder


def test_other_options_of_a_metric_are_noted_and_another_metric_is_refused(runs, tmp_path):
    other = changed_metric(runs[0], tmp_path / 'c', options={'keep_masks': False})
    results = compare([runs[0], other], tmp_path / 'out', tasks=['res'], resamples=5)
    assert 'scored here with those of the first' in results[0].notes[0]
    other = changed_metric(runs[0], tmp_path / 'd', type='GRESMetric')
    with pytest.raises(FLMMError, match='RESMetric.*GRESMetric'):
        compare([runs[0], other], tmp_path / 'out', tasks=['res'])


def test_a_score_that_is_too_slow_to_resample_says_so(runs, tmp_path, monkeypatch):
    monkeypatch.setattr('flmm.evaluation.comparison._SLOW_SECONDS', -1.0)
    monkeypatch.setattr('flmm.evaluation.metrics.RESMetric.ratios', lambda self, entries: {})
    results = compare(runs, tmp_path, tasks=['res'], resamples=5)
    assert results[0].comparison.scores['ciou'][0].value == pytest.approx(100.0)
    assert any('too slow' in note and 'ciou' in note for note in results[0].notes)


def test_a_broken_sample_file_is_a_typed_error(runs, tmp_path):
    shutil.copytree(runs[1], tmp_path / 'c')
    path = tmp_path / 'c/samples/res.jsonl'
    path.write_text(path.read_text().replace('"union"', '"onion"', 1))
    for action in (
        lambda: compare([runs[0], tmp_path / 'c'], tmp_path),
        lambda: analyze(tmp_path / 'c', tmp_path),
    ):
        with pytest.raises(FLMMError, match='res'):
            action()


def test_intervals_for_people():
    assert format_interval(Interval(62.314, 60.0, 64.4)) == '62.31 [60.00, 64.40]'
    assert format_interval(Interval(1.5), sign=True) == '+1.50'
    assert format_interval(Interval(float('nan'))) == '–'
