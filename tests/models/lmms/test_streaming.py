"""Tokens are given on one by one, and the thread that writes them ends."""

import threading

import pytest

from flmm.models.lmms import HFLMM


@pytest.fixture(scope='module')
def lmm(tiny_llava):
    return HFLMM(str(tiny_llava), dtype='float32').eval()


@pytest.fixture(scope='module')
def prompt(make_sample):
    return make_sample().lmm_inputs


def test_the_stream_is_what_is_written_at_once(lmm, prompt):
    assert list(lmm.stream(prompt, 6)) == lmm.generate([prompt], 6)[0].tolist()


def test_the_end_token_is_not_given_on(lmm, prompt, monkeypatch):
    first, second, *_ = lmm.stream(prompt, 6)
    if first != second:
        monkeypatch.setattr(lmm.model.generation_config, 'eos_token_id', [second])
        assert list(lmm.stream(prompt, 6)) == [first]
    monkeypatch.setattr(lmm.model.generation_config, 'eos_token_id', first)
    assert list(lmm.stream(prompt, 6)) == []


def test_a_reader_that_goes_away_ends_the_thread(lmm, prompt):
    before = threading.active_count()
    stream = lmm.stream(prompt, 50)
    next(stream)
    stream.close()
    assert threading.active_count() == before


def test_what_goes_wrong_reaches_the_reader(lmm, prompt, monkeypatch):
    def broken(**options):
        raise MemoryError('too long')

    monkeypatch.setattr(lmm.model, 'generate', broken)
    with pytest.raises(MemoryError, match='too long'):
        list(lmm.stream(prompt, 3))
