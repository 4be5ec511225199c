import json
import sys
from pathlib import Path

import pytest
from pytest import approx

from flmm.apis.evaluate import evaluate, plain
from flmm.utils.errors import FLMMError

STRIPES = Path(__file__).parents[1] / 'stripes'
CONFIG = STRIPES / 'stripes_config.py'
sys.path.insert(0, str(STRIPES))


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """One evaluation with everything switched on."""
    folder = tmp_path_factory.mktemp('evaluate')
    metrics = evaluate(
        CONFIG,
        None,
        work_dir=folder / 'work',
        show_dir=folder / 'show',
        out=folder / 'out.json',
        cfg_options=['log_level=ERROR'],
    )
    return folder, metrics


def test_metrics_are_returned_and_written_flat(run):
    folder, metrics = run
    assert metrics['res/ciou'] == approx(100.0)
    assert metrics['coarse/res/ciou'] == approx(60.0)
    written = json.loads((folder / 'work/metrics.json').read_text())
    assert written['res/ciou'] == approx(100.0)
    # No plural phrase: JSON has no nan.
    assert written['png/average_recall_plural'] is None
    assert written.keys() == metrics.keys()


def test_the_record_holds_protocol_skipped_samples_and_counts(run):
    folder, _ = run
    record = json.loads((folder / 'out.json').read_text())
    assert record['config'].endswith('stripes_config.py')
    png = record['tasks']['png']
    assert png['skipped_samples'] == {'image_unreadable': 1}
    assert 'png/average_recall_plural' in png['metrics']['png']['notes']
    assert png['metrics']['png']['entries'][0]['intersection'] == [20]


def test_the_gallery_shows_every_sample_of_every_task(run):
    folder, _ = run
    page = (folder / 'show/index.html').read_text()
    assert page.count('<article') == 10
    assert len(list((folder / 'show/sheets').iterdir())) == 9
    assert 'coarse' in page and '60.00' in page


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'config': 'no/such/config.py'}, 'no/such/config.py'),
        ({'checkpoint': 'no/such.pth'}, 'no/such.pth'),
        ({'tasks': ['nope']}, 'nope'),
        ({'cfg_options': ['test_dataloader=None']}, 'test_dataloader'),
    ],
)
def test_what_is_missing_is_said_in_a_typed_error(tmp_path, arguments, message):
    arguments = {'config': CONFIG, 'checkpoint': None, 'work_dir': tmp_path, **arguments}
    with pytest.raises(FLMMError, match=message):
        evaluate(**arguments)


def test_records_become_plain_json():
    record = {1: (float('nan'), float('inf'), 2.5), 'path': Path('a'), 'flag': True, 'none': None}
    assert json.loads(json.dumps(plain(record))) == {
        '1': [None, None, 2.5],
        'path': 'a',
        'flag': True,
        'none': None,
    }
