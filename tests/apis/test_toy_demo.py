"""The demo's bookkeeping; the demo itself is what `make demo` runs."""

from __future__ import annotations

import json

import pytest

from flmm.apis import toy_demo
from flmm.apis.toy_demo import ToyDemo
from flmm.utils.errors import FLMMError

SCORES = {'res/ciou': 81.0, 'res/miou': 80.0, 'png/average_recall': 71.0, 'coarse/res/ciou': 60.0}


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """A demo whose commands are replaced by writing what they would write."""
    ran = []

    def data(self):
        ran.append('data')
        self.data_root.mkdir(exist_ok=True)

    def train(self, config, folder):
        ran.append(f'train {folder.name}')
        folder.mkdir(parents=True)

    def test(self, config, folder, gallery):
        ran.append(f'test {folder.name}')
        (folder / 'test').mkdir()
        (folder / 'test/metrics.json').write_text(json.dumps(SCORES))

    monkeypatch.setattr(ToyDemo, '_make_data', data)
    monkeypatch.setattr(ToyDemo, '_train', train)
    monkeypatch.setattr(ToyDemo, '_test', test)

    def make():
        return ToyDemo(tmp_path / 'demo', tmp_path / 'data')

    make.ran = ran
    return make


def test_metrics_hold_the_promised_keys(demo):
    metrics = demo().run()
    assert metrics['control/coarse/res/ciou'] == 60.0 and metrics['res/ciou'] == 81.0
    assert metrics['seconds'] >= 0
    expected = {
        *('res/ciou', 'res/miou', 'png/average_recall', 'coarse/res/ciou'),
        *('control/res/ciou', 'control/coarse/res/ciou', 'seconds'),
    }
    written = json.loads((demo().work_dir / 'metrics.json').read_text())
    assert expected <= written.keys()


def test_finished_demo_runs_nothing_again(demo, capsys):
    first = demo().run()
    del demo.ran[:]
    assert demo().run() == first
    assert demo.ran == [] and 'complete already' in capsys.readouterr().out


def test_interrupted_demo_goes_on_with_the_open_steps(demo, monkeypatch):
    def killed(self, config, folder, gallery):
        raise FLMMError('killed')

    with monkeypatch.context() as patch:
        patch.setattr(ToyDemo, '_test', killed)
        with pytest.raises(FLMMError, match='killed'):
            demo().run()
    assert demo.ran == ['data', 'train train']
    demo().run()
    assert demo.ran == ['data', 'train train', 'test train', 'train control', 'test control']


def test_changed_sources_run_everything_again(demo, monkeypatch):
    demo().run()
    del demo.ran[:]
    monkeypatch.setattr(toy_demo, '_fingerprint', lambda: 'other')
    demo().run()
    assert len(demo.ran) == 5


def test_failing_command_shows_the_end_of_its_log(tmp_path):
    demo = ToyDemo(tmp_path, tmp_path / 'data')
    with pytest.raises(FLMMError, match='the disk is on fire'):
        demo._command(
            ['python', '-c', 'raise SystemExit("the disk is on fire")'], tmp_path / 'x.log'
        )
