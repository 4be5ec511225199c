import importlib.util
from pathlib import Path

import pytest

from flmm.utils.errors import FLMMError

PATH = Path(__file__).parents[2] / 'tools' / 'infer.py'


@pytest.fixture
def main():
    spec = importlib.util.spec_from_file_location('tool_infer', PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_help_shows_examples(main, capsys):
    with pytest.raises(SystemExit) as ended:
        main(['--help'])
    assert ended.value.code == 0 and 'python tools/infer.py' in capsys.readouterr().out


def test_arguments_are_passed_on(main, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        'flmm.apis.infer.ground_files', lambda *args, **kwargs: seen.update(kwargs, args=args)
    )
    arguments = ['c.py', 'x.pth', 'a.jpg', 'b.jpg', '--text', 'a dog', '--out-dir', 'o']
    assert main([*arguments, '--max-new-tokens', '5', '--cfg-options', 'a=1', 'b=2']) == 0
    assert seen == {
        'args': ('c.py', 'x.pth', ['a.jpg', 'b.jpg']),
        'text': 'a dog',
        'out_dir': Path('o'),
        'device': None,
        'max_new_tokens': 5,
        'cfg_options': ['a=1', 'b=2'],
    }


@pytest.mark.parametrize('error', [FLMMError('No phrase'), FileNotFoundError('x.pth')])
def test_an_error_is_one_line_and_a_failed_exit(main, monkeypatch, capsys, error):
    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr('flmm.apis.infer.ground_files', fail)
    assert main(['c.py', 'x.pth', 'a.jpg']) == 1
    assert capsys.readouterr().err == f'error: {error}\n'


def test_a_missing_config_is_named(main, capsys):
    assert main(['no_config.py', 'x.pth', 'a.jpg']) == 1
    assert 'no_config.py: no such config' in capsys.readouterr().err
