"""POPE, MME and HallusionBench: their official files -> questions."""

from __future__ import annotations

from pathlib import Path

from flmm.structures import VQAQuestion
from flmm.utils.errors import AnnotationError
from flmm.utils.json_lines import read_json_lines
from flmm.utils.safe_io import load_json

from .files import Record, read_text

_YES_NO = {'yes': 'yes', 'no': 'no'}
_SETTINGS = ('random', 'popular', 'adversarial')
_MME_TEXTS = 'questions_answers_YN'
_IMAGES = ('.jpg', '.png', '.jpeg')


def read_pope(path: str) -> list[VQAQuestion]:
    """POPE: ``coco_pope_random.json``, ``..._popular.json``, ``..._adversarial.json``.

    JSON lines with ``question_id, image, text, label``.

    Args:
        path: One of the files, or the folder of all three.

    Raises:
        AnnotationError: A file or field is missing or wrong.
    """
    folder = Path(path)
    files = [folder]
    if folder.is_dir():
        files = [file for s in _SETTINGS for file in sorted(folder.glob(f'*{s}*.json*'))]
        if len(files) != len(_SETTINGS):
            raise AnnotationError(
                path,
                f'expected one file for each of {", ".join(_SETTINGS)}, found '
                f'{[file.name for file in files] or "none"}.',
            )
    questions = []
    for file in files:
        setting = next((s for s in _SETTINGS if s in file.stem), 'random')
        for index, content in enumerate(read_json_lines(file)):
            row = Record(file, f'line {index + 1}', content, 'question_id, image, text, label')
            questions.append(
                VQAQuestion(
                    f'{setting}/{row.text("question_id")}',
                    row.text('text'),
                    row.one_of('label', _YES_NO),
                    row.text('image'),
                    category=setting,
                )
            )
    return questions


def read_mme(path: str) -> list[VQAQuestion]:
    """MME: a folder per task, a text file per image, in it two lines ``question<tab>answer``.

    Text files and images lie together, or in ``questions_answers_YN`` and ``images``.

    Args:
        path: The folder of all tasks (``MME_Benchmark_release_version``).

    Raises:
        AnnotationError: There is no task, or a line or image is missing.
    """
    root = Path(path)
    questions = []
    for texts in map(Path, mme_folders(path)):
        split = texts.name == _MME_TEXTS
        task = texts.parent if split else texts
        images = task / 'images' if split else task
        for file in sorted(texts.glob('*.txt')):
            name = next((n for e in _IMAGES if (n := images / f'{file.stem}{e}').is_file()), None)
            if name is None:
                raise AnnotationError(file, f'expected an image {file.stem}.jpg in {images}.')
            questions += _mme_image(file, task.name, name.relative_to(root).as_posix())
    if not questions:
        raise AnnotationError(
            path,
            'expected a folder per task (existence, count, ...) with a .txt file per image.',
            fix='Name MME_Benchmark_release_version.',
        )
    return questions


def mme_folders(path: str) -> list[str]:
    """Folder of the text files of each task of MME.

    Args:
        path: The folder of all tasks.
    """
    root = Path(path)
    tasks = sorted(folder for folder in root.iterdir() if folder.is_dir()) if root.is_dir() else []
    return [str(task / _MME_TEXTS if (task / _MME_TEXTS).is_dir() else task) for task in tasks]


def _mme_image(file: Path, task: str, image: str) -> list[VQAQuestion]:
    lines = [line for line in read_text(file).splitlines() if line.strip()]
    questions = []
    for number, line in enumerate(lines, 1):
        question, _, answer = line.rpartition('\t')
        if not question or answer.strip().lower() not in _YES_NO:
            raise AnnotationError(file, 'expected question, tab, Yes or No.', key=f'line {number}')
        group = f'{task}/{file.stem}'
        questions.append(
            VQAQuestion(
                f'{group}/{number}',
                question.strip(),
                answer.strip().lower(),
                image,
                category=task,
                group=group,
            )
        )
    if len(questions) != 2:
        raise AnnotationError(
            file, f'has {len(questions)} questions, expected 2 to an image.', fix='Download again.'
        )
    return questions


def read_hallusionbench(path: str) -> list[VQAQuestion]:
    """HallusionBench: a list of records; a question without figure has no image.

    Args:
        path: ``HallusionBench.json``.

    Raises:
        AnnotationError: It is no list, or a field is missing or wrong.
    """
    expects = 'category, subcategory, set_id, figure_id, question_id, question, gt_answer, filename'
    content = load_json(path)
    if not isinstance(content, list):
        raise AnnotationError(path, 'expected a list.', fix=f'Each record has {expects}.')
    questions = []
    names = ('category', 'subcategory', 'set_id', 'figure_id', 'question_id')
    for index, one in enumerate(content):
        row = Record(path, f'[{index}]', one, expects)
        place = {name: row.text(name) for name in names}
        file = row.content.get('filename') or ''
        image = file.removeprefix('./') if isinstance(file, str) else ''
        truth = row.one_of('gt_answer', {'1': 'yes', '0': 'no'})
        key = '/'.join(place.values())
        category = place['category']
        questions.append(
            VQAQuestion(key, row.text('question'), truth, image, category=category, meta=place)
        )
    return questions
