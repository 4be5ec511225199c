"""Multiple choice: ScienceQA, MMBench, Q-Bench, AI2D, SEED: official files -> questions."""

from __future__ import annotations

from pathlib import Path

from flmm.structures import VQAQuestion
from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json

from .diagram_letters import read_letters
from .files import Record, read_table, read_text

LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'


def read_scienceqa(path: str, split: str = 'test') -> list[VQAQuestion]:
    """ScienceQA: ``problems.json``, with ``pid_splits.json`` beside it.

    Images are ``<split>/<id>/image.png``.

    Args:
        path: ``problems.json``.
        split: Which problems: ``train``, ``val``, ``test``, ``minival``, ``minitest``.

    Raises:
        AnnotationError: A file or field is missing or wrong.
    """
    problems = _object(path, 'problems by id')
    splits_path = Path(*splits_beside(path))
    splits = _object(splits_path, 'lists of ids by split')
    if not isinstance(splits.get(split), list):
        raise AnnotationError(splits_path, f'has no split {split!r}; it has {", ".join(splits)}.')
    questions = []
    for key in map(str, splits[split]):
        if key not in problems:
            raise AnnotationError(
                path, f'lacks problem {key!r} of the split {split}.', fix='Do the files fit?'
            )
        row = Record(path, f'[{key!r}]', problems[key], 'question, choices, answer, image, split')
        choices = _texts(row, 'choices')
        image = row.content.get('image') or ''
        folder = row.content.get('split') or split
        questions.append(
            VQAQuestion(
                key,
                row.text('question'),
                _letter(row, 'answer', len(choices)),
                f'{folder}/{key}/{image}' if image else '',
                choices,
                category=str(row.content.get('subject') or ''),
                meta={'hint': str(row.content.get('hint') or '')},
            )
        )
    return questions


def splits_beside(path: str) -> list[str]:
    """ScienceQA's ``pid_splits.json``.

    Args:
        path: ``problems.json``.
    """
    return [str(Path(path).with_name('pid_splits.json'))]


def read_mmbench(path: str) -> list[VQAQuestion]:
    """MMBench and MMBench-CN: a table with the images in it.

    Rotations of one question have indices that differ by a multiple of a million. Rows without
    ``answer`` (the test split, whose answers are secret) are refused.

    Args:
        path: The ``.tsv``.

    Raises:
        AnnotationError: A column is missing, or a field is wrong.
    """
    needed = ('index', 'question', 'A', 'B', 'answer', 'image')
    rows = read_table(path, needed)
    images = {row['index']: row['image'] for row in rows}
    questions = []
    for number, content in enumerate(rows, 2):
        row = Record(path, f'row {number}', content, ', '.join(needed))
        index = row.text('index')
        if not index.isdecimal():
            raise row.error(f"'index' is {index!r:.40}, expected a number")
        choices = tuple(content[x] for x in 'ABCD' if content.get(x) not in (None, '', 'nan'))
        answer = row.text('answer')
        if answer not in LETTERS[: len(choices)] or len(answer) != 1:
            raise row.error(
                f"'answer' is {answer!r:.40}, expected one of {LETTERS[: len(choices)]}"
            )
        image = content['image']
        if len(image) <= 16 and image in images:  # rotations name the row that has the picture
            image = images[image]
        hint = content.get('hint') or ''
        questions.append(
            VQAQuestion(
                index,
                row.text('question'),
                answer,
                choices=choices,
                category=content.get('category') or '',
                group=str(int(index) % 1_000_000),
                meta={'hint': '' if hint == 'nan' else hint, 'base64': image},
            )
        )
    return questions


def read_qbench(path: str) -> list[VQAQuestion]:
    """Q-Bench (LLVisionQA): a list with ``img_path, question, candidates, correct_ans``.

    Args:
        path: ``llvisionqa_dev.json``.

    Raises:
        AnnotationError: It is no list, or a field is missing or wrong.
    """
    expects = 'img_path, question, candidates, correct_ans'
    content = load_json(path)
    if not isinstance(content, list):
        raise AnnotationError(path, 'expected a list.', fix=f'Each record has {expects}.')
    questions = []
    for index, one in enumerate(content):
        row = Record(path, f'[{index}]', one, expects)
        choices = _texts(row, 'candidates')
        answer = row.text('correct_ans')
        if answer.lower() not in [choice.lower() for choice in choices]:
            raise row.error(f"'correct_ans' {answer!r:.60} is none of the candidates")
        questions.append(
            VQAQuestion(
                f'{index}/{row.text("img_path")}',
                row.text('question'),
                answer,
                row.text('img_path'),
                choices,
            )
        )
    return questions


def read_ai2d(path: str) -> list[VQAQuestion]:
    """AI2D: a folder with a json per diagram, ``questions`` by their text.

    Beside the folder, ``ai2d_test_ids.csv`` (one id per line) chooses the test diagrams, and
    ``annotations`` tells which letters questions with ``abcLabel`` speak of.

    Args:
        path: The folder ``questions``.

    Raises:
        AnnotationError: There is no file, or a field is missing or wrong.
    """
    folder = Path(path)
    files = sorted(folder.glob('*.json')) if folder.is_dir() else []
    if not files:
        raise AnnotationError(
            path, 'expected a folder of files such as 0.png.json.', fix='Name ai2d/questions.'
        )
    chosen, letters = map(Path, letters_beside(path))
    if chosen.is_file():
        ids = set(read_text(chosen).split())
        files = [file for file in files if file.name.split('.')[0] in ids]
    questions = []
    for file in files:
        diagram = Record(file, '', load_json(file), 'questions, imageName')
        for text, one in diagram.typed('questions', dict).items():
            row = Record(file, f'questions[{text!r:.60}]', one, 'answerTexts, correctAnswer')
            choices = _texts(row, 'answerTexts')
            key = str(row.content.get('questionId') or f'{file.stem}/{text}')
            answer = _letter(row, 'correctAnswer', len(choices))
            image = diagram.text('imageName')
            meta = {}
            if row.content.get('abcLabel'):
                meta['letters'] = read_letters(letters / file.name)
            questions.append(VQAQuestion(key, text, answer, image, choices, meta=meta))
    return questions


def letters_beside(path: str) -> list[str]:
    """AI2D's ``ai2d_test_ids.csv`` and folder ``annotations``.

    Args:
        path: The folder ``questions``.
    """
    return [str(Path(path).parent / name) for name in ('ai2d_test_ids.csv', 'annotations')]


def read_seed(path: str) -> list[VQAQuestion]:
    """SEED-IMG: the questions on images of ``SEED-Bench.json``.

    Args:
        path: ``SEED-Bench.json``: ``questions``, and ``question_type`` (numbers by name).

    Raises:
        AnnotationError: A field is missing or wrong, or there is no question on an image.
    """
    whole = Record(path, '', load_json(path), 'questions and question_type')
    names = {number: name for name, number in whole.typed('question_type', dict).items()}
    expects = 'question_id, question, choice_a to choice_d, answer, data_id, data_type'
    questions = []
    for index, one in enumerate(whole.typed('questions', list)):
        row = Record(path, f'questions[{index}]', one, expects)
        if row.text('data_type') != 'image':
            continue
        choices = tuple(row.text(f'choice_{letter}') for letter in 'abcd')
        answer = row.text('answer')
        if answer not in ('A', 'B', 'C', 'D'):
            raise row.error(f"'answer' is {answer!r:.40}, expected A, B, C or D")
        kind = row['question_type_id']
        questions.append(
            VQAQuestion(
                row.text('question_id'),
                row.text('question'),
                answer,
                row.text('data_id'),
                choices,
                category=str(names.get(kind, kind)),
            )
        )
    if not questions:
        raise AnnotationError(path, 'has no question on an image (data_type "image").')
    return questions


def _object(path: str | Path, what: str) -> dict:
    content = load_json(path)
    if not isinstance(content, dict):
        raise AnnotationError(path, f'expected {what}, got a {type(content).__name__}.')
    return content


def _texts(row: Record, name: str) -> tuple[str, ...]:
    values = row.typed(name, list)
    if not 2 <= len(values) <= len(LETTERS):
        raise row.error(f'{name!r} has {len(values)} options, expected at least 2')
    return tuple(str(value) for value in values)


def _letter(row: Record, name: str, count: int) -> str:
    index = row.typed(name, int)
    if not 0 <= index < count:
        raise row.error(f'{name!r} is {index}, expected an index of the {count} options')
    return LETTERS[index]
