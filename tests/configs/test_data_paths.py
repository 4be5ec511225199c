"""Error messages send users to docs/datasets.md: it has every file that configs look for."""

from pathlib import Path

import pytest
from mmengine.config import Config

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / 'docs/datasets.md').read_text()
LEAVES = sorted(
    path
    for folder in ('f_lmm', 'gpt4roi', 'pink', 'collavo', 'vqa', 'pixel_llm')
    for path in (ROOT / 'configs' / folder).glob('*.py')
)


def paths_in(node):
    """All paths below ``data/`` that a config names."""
    if isinstance(node, dict):
        return {path for value in node.values() for path in paths_in(value)}
    if isinstance(node, (list, tuple)):
        return {path for value in node for path in paths_in(value)}
    return {node} if isinstance(node, str) and node.startswith('data/') else set()


@pytest.mark.parametrize('leaf', LEAVES, ids=lambda path: path.stem)
def test_the_page_names_every_file_of_a_config(leaf):
    for path in paths_in(Config.fromfile(leaf).to_dict()):
        _, root, *rest = path.rstrip('/').split('/')
        # Of four files that differ in a number the page has the first.
        name = (rest or [root])[-1].replace('-00001-', '-00000-').replace('-00002-', '-00000-')
        name = name.replace('-00003-', '-00000-')
        assert f'data/{root}/' in PAGE and name in PAGE, f'docs/datasets.md lacks {path}'
