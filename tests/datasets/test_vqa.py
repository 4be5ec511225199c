"""VQAv2 and OKVQA: questions and annotations matched by id, the most frequent answer learned."""

import pytest
from instruction_files import pairs_of, write

from flmm.datasets import VQADataset
from flmm.utils.errors import AnnotationError

ANNOTATIONS = {
    'annotations': [
        {
            'question_id': 2,
            'image_id': 7,
            'multiple_choice_answer': 'two',
            'answers': [
                {'answer': 'two', 'raw_answer': 'Two'},
                {'answer': '2', 'raw_answer': '2'},
                {'answer': '2', 'raw_answer': '2'},
            ],
        }
    ]
}
QUESTIONS = {
    'questions': [
        {'question_id': 9, 'question': 'No?'},
        {'question_id': 2, 'question': 'How many?'},
    ]
}


def build(tmp_path, **options):
    return VQADataset(
        write(tmp_path / 'a.json', ANNOTATIONS),
        str(tmp_path),
        write(tmp_path / 'q.json', QUESTIONS),
        **options,
    )


def test_the_question_of_the_same_id_gets_the_file_s_own_answer(tmp_path):
    dataset = build(tmp_path)
    ((request, answer),) = pairs_of(dataset)
    assert '<qes>How many?</qes>' in request and answer == 'two'
    assert dataset[0].meta['answers'] == ['two', '2', '2']
    assert dataset[0].meta['question_id'] == 2


def test_other_answers_are_counted(tmp_path):
    # OKVQA's raw answers: "2" twice, "Two" once.
    dataset = build(tmp_path, answer_key='raw_answer', image_pattern='COCO_{:06d}.jpg')
    assert {answer for _, answer in pairs_of(dataset)} == {'2'}
    assert dataset[0].image_path.endswith('/COCO_000007.jpg')


def test_lines_name_their_own_image(tmp_path):
    line = {
        'image_path': 'x/y.jpg',
        'question': 'Who?',
        'annotation': ANNOTATIONS['annotations'][0],
    }
    dataset = VQADataset(write(tmp_path / 'l.jsonl', [line], lines=True), str(tmp_path))
    assert dataset[0].image_path.endswith('x/y.jpg')


def test_files_of_two_splits_are_an_error(tmp_path):
    other = {'questions': QUESTIONS['questions'][:1]}
    with pytest.raises(AnnotationError, match='one split'):
        VQADataset(
            write(tmp_path / 'a.json', ANNOTATIONS),
            '.',
            write(tmp_path / 'q.json', other),
        )
