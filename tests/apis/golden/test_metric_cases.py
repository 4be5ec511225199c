import json
import shutil
from pathlib import Path

import pytest

from flmm.apis.golden import metric_cases

RECORDED = Path(__file__).parents[2] / 'data/f_lmm_metrics'


@pytest.fixture
def case(tmp_path):
    """A copy of the recorded case and a function that changes its golden.json."""
    folder = tmp_path / 'case'
    shutil.copytree(RECORDED, folder)

    def change(edit):
        golden = json.loads((folder / 'golden.json').read_text())
        edit(golden)
        (folder / 'golden.json').write_text(json.dumps(golden))
        return folder

    return change


def failed(folder):
    return [result.name for result in metric_cases.check(folder) if not result.passed]


def test_the_official_scores_are_reproduced():
    assert metric_cases.recognise(RECORDED)
    results = metric_cases.check(RECORDED)
    assert len(results) == 60
    assert [result.line() for result in results if not result.passed] == []


def test_other_folders_are_not_recognised(tmp_path):
    assert not metric_cases.recognise(tmp_path)
    (tmp_path / 'golden.json').write_text('{"steps": []}')
    assert not metric_cases.recognise(tmp_path)
    (tmp_path / 'inputs.npz').write_bytes(b'')
    assert not metric_cases.recognise(tmp_path)


@pytest.mark.parametrize(
    ('edit', 'name'),
    [
        (lambda g: g['samples'][0]['union'].__setitem__(0, 2959.0), 's0/union'),
        (lambda g: g['samples'][3]['iou'].__setitem__(0, 0.6534), 's3/iou'),
        (lambda g: g['refseg'].update(cIoU=47.62), 'refseg/cIoU'),
        (lambda g: g['png'].update(aIoU_things=0.4880), 'png/aIoU_things'),
        (lambda g: g['average_accuracy']['ones'].update(value=1.001), 'average_accuracy/ones'),
        (lambda g: g['refseg_per_sample'][1].update(n=3), 'refseg_per_sample/1/n'),
    ],
)
def test_a_wrong_number_fails_and_only_that_one(case, edit, name):
    assert failed(case(edit)) == [name]


def test_parts_that_another_recording_leaves_out_are_not_needed(case):
    def drop(golden):
        del golden['average_accuracy'], golden['refseg_per_sample'], golden['png']['pixel_accs']

    assert failed(case(drop)) == []
