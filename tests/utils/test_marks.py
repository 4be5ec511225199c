"""Pink's marks around what a question points at."""

import pytest

from flmm.utils.marks import MARK_TOKENS, MARKS, marked


def test_tokens_open_and_close_in_the_releases_order():
    assert MARK_TOKENS == (
        '<des>', '</des>', '<loc>', '</loc>', '<rel>', '</rel>',
        '<cls>', '</cls>', '<qes>', '</qes>', '<opt>', '</opt>',
    )  # fmt: skip


def test_a_marked_text_stands_between_its_tokens():
    assert marked('loc', '[0.100,0.200]') == '<loc>[0.100,0.200]</loc>'
    assert marked('des', '') == '<des></des>'
    for mark in MARKS:
        assert all(token in MARK_TOKENS for token in marked(mark, '|').split('|'))
    with pytest.raises(ValueError, match="got 'box'"):
        marked('box', 'x')
