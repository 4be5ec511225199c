"""GQA: short answers, and full ones in half of the draws."""

import pytest
from instruction_files import pairs_of, write

from flmm.datasets import GQADataset
from flmm.utils.errors import AnnotationError

CONTENT = {
    '7': {'imageId': 'n12', 'question': 'Is it red?', 'answer': 'no', 'fullAnswer': 'No, blue.'},
    '8': {'imageId': 'n13', 'question': 'Who?', 'answer': 'man', 'fullAnswer': ''},
}


def build(tmp_path, **options):
    return GQADataset(write(tmp_path / 'g.json', CONTENT), str(tmp_path), **options)


def test_answers_are_short_unless_sentences_are_wanted(tmp_path):
    short = build(tmp_path)
    assert {answer for _, answer in pairs_of(short)} == {'no'}
    both = build(tmp_path, full_answers=True)
    assert {answer for _, answer in pairs_of(both)} == {'no', 'No, blue.'}
    # Where there is no sentence, none is asked for.
    assert {answer for _, answer in pairs_of(both, 1)} == {'man'}


def test_the_metric_finds_both_answers(tmp_path):
    meta = build(tmp_path)[0].meta
    assert (meta['answers'], meta['full_answer']) == (['no'], 'No, blue.')
    assert build(tmp_path)[0].image_path.endswith('/n12.jpg')


def test_models_without_marks_are_asked_for_few_words(tmp_path):
    ((request, _),) = pairs_of(build(tmp_path), marks=False)
    assert request.startswith('Is it red?\n') and 'single word' in request


def test_a_list_is_no_file_of_gqa(tmp_path):
    with pytest.raises(AnnotationError, match='questions by id'):
        GQADataset(write(tmp_path / 'g.json', [1]), str(tmp_path))
