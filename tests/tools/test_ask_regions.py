"""Asking about regions from a shell: boxes, masks, points, scribbles, in the order given."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flmm.structures import Region
from flmm.utils.errors import FLMMError

PATH = Path(__file__).parents[2] / 'tools' / 'ask_regions.py'


class Inferencer:
    """Notes what it is asked."""

    made = None

    def __init__(self, config, checkpoint, device):
        type(self).made, self.loaded = self, (config, checkpoint, device)

    def dialogue(self, image, regions):
        self.regions = regions
        return image

    def stream(self, dialogue, question):
        if question == 'fail?':
            raise FLMMError('nothing there')
        yield 'a red'
        yield 'a red circle'


@pytest.fixture
def tool(monkeypatch):
    spec = importlib.util.spec_from_file_location('tool_ask_regions', PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, 'RegionInferencer', Inferencer)
    monkeypatch.setattr(module, 'load_config', lambda path, options: (path, options))
    return module


def test_regions_of_all_kinds_are_numbered_as_they_come(tool, tmp_path, capsys):
    mask = np.zeros((6, 8), np.uint8)
    mask[2:4, 1:5] = 255
    Image.fromarray(mask).save(tmp_path / 'm.png')
    arguments = ['c.py', 'x.pth', 'a.jpg', '--point', '3', '4', '--box', '1', '2', '5', '6']
    arguments += ['--mask', str(tmp_path / 'm.png'), '--scribble', *'123456', '--point', *'1234']
    assert tool.main([*arguments, '--ask', '<region1>?', '--ask', 'And?']) == 0
    point, box, drawn, stroke, several = Inferencer.made.regions
    assert (point, box) == (Region(points=((3, 4),)), Region((1, 2, 5, 6)))
    assert np.array_equal(drawn.mask, mask > 0) and drawn.mask.dtype == bool
    assert stroke == Region(points=((1, 2), (3, 4), (5, 6)), joined=True)
    assert several == Region(points=((1, 2), (3, 4)))
    # The answer as it grows, each piece once.
    assert capsys.readouterr().out == '> <region1>?\na red circle\n> And?\na red circle\n'


def test_half_a_point_is_refused(tool, capsys):
    with pytest.raises(SystemExit):
        tool.main(['c.py', 'x.pth', 'a.jpg', '--ask', '?', '--scribble', '1', '2', '3'])
    assert 'expected pairs X Y, got 3 numbers' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [(['--ask', 'fail?'], 'nothing there'), (['--ask', '?', '--mask', 'no.png'], 'no.png')],
)
def test_an_error_is_one_line_and_a_failed_exit(tool, capsys, arguments, message):
    assert tool.main(['c.py', 'x.pth', 'a.jpg', *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: ') and message in error and error.count('\n') == 1
