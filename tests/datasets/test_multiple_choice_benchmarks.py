"""IconQA and SEED-Bench: options in the file's own order."""

import pytest
from instruction_files import options_of, pairs_of, write

from flmm.datasets import IconQADataset, SEEDBenchDataset
from flmm.utils.errors import AnnotationError


def test_iconqa_s_answers_are_indices(tmp_path):
    records = [{'image_id': 7, 'question': 'Which?', 'choices': [3, 'x', 'y'], 'answer': 2}]
    dataset = IconQADataset(write(tmp_path / 'i.json', records), str(tmp_path))
    ((request, answer),) = pairs_of(dataset)
    # Choices may be numbers.
    assert options_of(request) == {'A': '3', 'B': 'x', 'C': 'y'}
    assert answer == 'The answer is C.' and dataset[0].image_path.endswith('7/image.png')


def seed(kind, answer='B'):
    choices = {f'choice_{letter}': f'{letter}{kind}' for letter in 'abcd'}
    return {
        'question': 'What?',
        'data_id': f'{kind}.jpg',
        'question_type_id': kind,
        'answer': answer,
        **choices,
    }


def test_seed_bench_s_questions_about_images_are_kept_and_grouped(tmp_path):
    path = write(tmp_path / 's.json', {'questions': [seed(kind) for kind in (1, 9, 10, 12)]})
    dataset = SEEDBenchDataset(path, str(tmp_path))
    assert [dataset[i].meta['group'] for i in range(len(dataset))] == ['1', '9']
    assert [dataset[i].meta['choice'] for i in range(2)] == [1, 1]
    ((request, _),) = pairs_of(dataset, 1)
    assert list(options_of(request).values()) == ['a9', 'b9', 'c9', 'd9']
    assert len(SEEDBenchDataset(path, str(tmp_path), question_types=[12])) == 1


def test_an_unknown_letter_and_other_files_are_named(tmp_path):
    path = write(tmp_path / 's.json', {'questions': [seed(1, answer='E?')]})
    item = SEEDBenchDataset(path, str(tmp_path))[0]
    assert item.reason == 'annotation_invalid'
    for reader, content in ((IconQADataset, {}), (SEEDBenchDataset, [1])):
        with pytest.raises(AnnotationError):
            reader(write(tmp_path / 'x.json', content), str(tmp_path))
