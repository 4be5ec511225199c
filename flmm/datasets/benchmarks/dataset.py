"""The twelve benchmarks by name: which file, how to ask, and a dataset of the questions."""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from flmm.datasets.base import GroundingDataset, PackedRecords
from flmm.datasets.transforms.base import Item, Transform
from flmm.registry import DATASETS
from flmm.structures import GroundingSample, VQAQuestion
from flmm.utils.errors import AnnotationError, FLMMError, InputFileError
from flmm.utils.safe_io import open_image, resolve_under_root

from .diagram_letters import draw_letters
from .readers_open import read_gqa, read_mathvista, read_mmvet, read_textvqa
from .readers_options import (
    LETTERS,
    letters_beside,
    read_ai2d,
    read_mmbench,
    read_qbench,
    read_scienceqa,
    read_seed,
    splits_beside,
)
from .readers_yes_no import mme_folders, read_hallusionbench, read_mme, read_pope

_WORD = '\nReply with one word or a short phrase.'
_LETTER = '\nReply with the letter of the right option alone.'


@dataclass(frozen=True)
class Benchmark:
    """How a benchmark is read and asked.

    Attributes:
        file: What its file or folder is called.
        read: Official file -> questions.
        request: What follows each question: the form of answer that its score expects. Our own
            words; releases ask with theirs, and scores depend on it.
        beside: What is read besides the file or folder of that path: files and folders.
    """

    file: str
    read: Callable[[str], list[VQAQuestion]]
    request: str = ''
    beside: Callable[[str], list[str]] = lambda path: []


#: Name -> benchmark.
BENCHMARK_FILES: dict[str, Benchmark] = {
    'gqa': Benchmark('testdev_balanced_questions.json', read_gqa, _WORD),
    'scienceqa': Benchmark('problems.json', read_scienceqa, _LETTER, splits_beside),
    'textvqa': Benchmark('TextVQA_0.5.1_val.json', read_textvqa, _WORD),
    'pope': Benchmark('folder of coco_pope_*.json', read_pope, '\nReply with yes or no.'),
    'mme': Benchmark('MME_Benchmark_release_version', read_mme, beside=mme_folders),
    'mmbench': Benchmark('mmbench_dev_en.tsv', read_mmbench, _LETTER),
    'mmbench_cn': Benchmark('mmbench_dev_cn.tsv', read_mmbench, '\n只回答正确选项的字母。'),
    'mmvet': Benchmark('mm-vet.json', read_mmvet),
    'qbench': Benchmark('llvisionqa_dev.json', read_qbench, _LETTER),
    'mathvista': Benchmark('testmini.json', read_mathvista),
    'ai2d': Benchmark('ai2d/questions', read_ai2d, _LETTER, letters_beside),
    'seed': Benchmark('SEED-Bench.json', read_seed, _LETTER),
    'hallusionbench': Benchmark('HallusionBench.json', read_hallusionbench),
}


def read_benchmark(benchmark: str, path: str, images_only: bool = True) -> list[VQAQuestion]:
    """Read a benchmark's official file.

    Args:
        benchmark: Name in ``BENCHMARK_FILES``.
        path: The file or folder.
        images_only: Leave questions without an image out (ScienceQA, HallusionBench).

    Returns:
        Its questions, ids unique.

    Raises:
        FLMMError: No such benchmark.
        InputFileError: The file is not what it should be, has no question, or an id twice.
    """
    if benchmark not in BENCHMARK_FILES:
        raise FLMMError(
            f'Unknown benchmark {benchmark!r}; known: {", ".join(sorted(BENCHMARK_FILES))}.'
        )
    known = BENCHMARK_FILES[benchmark]
    try:
        questions = known.read(path)
    except InputFileError as error:
        fix = f'{error.fix} {benchmark} reads {known.file}.'.strip()
        raise type(error)(error.path, error.problem, key=error.key, fix=fix) from error
    if images_only:
        questions = [q for q in questions if q.image or q.meta.get('base64')]
    if not questions:
        raise AnnotationError(path, 'has no question.', fix=f'{benchmark} reads {known.file}.')
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise AnnotationError(path, f'two questions have the id {question.id!r}.')
        seen.add(question.id)
    return questions


def question_text(benchmark: str, question: VQAQuestion, request: str | None = None) -> str:
    """What the user asks: hint, question, options, and the form of answer.

    Args:
        benchmark: Name in ``BENCHMARK_FILES``.
        question: The question.
        request: Instead of the benchmark's own.
    """
    lines = [question.meta['hint']] if question.meta.get('hint') else []
    lines.append(question.question)
    if benchmark != 'mathvista':  # its questions list their options themselves
        lines += [
            f'{letter}. {choice}' for letter, choice in zip(LETTERS, question.choices, strict=False)
        ]
    ending = BENCHMARK_FILES[benchmark].request if request is None else request
    return '\n'.join(lines) + ending


@DATASETS.register_module()
class VQABenchmark(GroundingDataset):
    """The questions of one benchmark, for any LMM; scored by ``VQAMetric``.

    A sample has the question as its prompt, no text and no phrases; ``meta['vqa']`` holds the
    question for the metric.

    Args:
        benchmark: Name in ``BENCHMARK_FILES``.
        ann_file: Its official file or folder.
        image_root: Folder of the images (unused for MMBench, whose table holds them).
        pipeline: Transforms, or their configs.
        images_only: Leave questions without an image out.
        request: What follows each question; None for the benchmark's own.
        name: First part of every ``sample_id``; None for the benchmark's.
    """

    def __init__(
        self,
        benchmark: str,
        ann_file: str,
        image_root: str | dict[str, Any] = '',
        pipeline: Iterable[dict | Transform] = (),
        images_only: bool = True,
        request: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name or benchmark, pipeline)
        self.benchmark, self.ann_file, self.image_root = benchmark, ann_file, image_root
        self.images_only, self.request = images_only, request
        questions = read_benchmark(benchmark, ann_file, images_only)
        self._ids = [question.id for question in questions]
        self._records = PackedRecords([_plain(question) for question in questions])

    @classmethod
    def also_reads(cls, config: Mapping[str, Any]) -> list[str]:
        """What the benchmark's file stands for or lies beside; see :class:`GroundingDataset`."""
        known, path = BENCHMARK_FILES.get(config.get('benchmark', '')), config.get('ann_file')
        return known.beside(path) if known is not None and isinstance(path, str) else []

    @property
    def metainfo(self) -> dict[str, Any]:
        """Name and protocol, for result files."""
        request = BENCHMARK_FILES[self.benchmark].request if self.request is None else self.request
        return {
            'dataset': self.name,
            'benchmark': self.benchmark,
            'images_only': self.images_only,
            'request': request,
        }

    def __len__(self) -> int:
        """Number of questions."""
        return len(self._ids)

    def sample_id(self, index: int) -> str:
        """``name/id``."""
        return f'{self.name}/{self._ids[index]}'

    def question(self, index: int) -> VQAQuestion:
        """Question ``index``.

        Args:
            index: At least 0, less than the length.
        """
        return question_from(self._records[index])

    def read_sample(self, index: int) -> Item:
        """Sample ``index``.

        Args:
            index: At least 0, less than the length.

        Raises:
            InputFileError: An image within the table is none, or one for letters is unreadable.
        """
        question = self.question(index)
        image = path = None
        if question.meta.get('base64'):
            image = self._decode(question)
        elif question.image:
            path = resolve_under_root(self.image_root, question.image)
            if question.meta.get('letters'):
                image = draw_letters(open_image(path), question.meta['letters'])
        text = question_text(self.benchmark, question, self.request)
        record = self._records[index]
        for drawn in ('base64', 'letters'):
            record['meta'].pop(drawn, None)
        return GroundingSample(
            self.sample_id(index),
            image_path=path,
            image=image,
            prompt=('<image>\n' if question.image or image is not None else '') + text,
            meta={'vqa': record, 'question': question.question},
        )

    def _decode(self, question: VQAQuestion) -> Image.Image:
        try:
            content = base64.b64decode(question.meta['base64'], validate=True)
        except (binascii.Error, ValueError) as error:
            raise AnnotationError(
                self.ann_file, f'its image is no base64: {error}.', key=f'index {question.id}'
            ) from error
        # Through a file, so that it meets the same bounds as every other image.
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            return open_image(file.name)


def _plain(question: VQAQuestion) -> dict[str, Any]:
    record = asdict(question)
    record['choices'] = list(question.choices)
    return record


def question_from(record: dict[str, Any]) -> VQAQuestion:
    """A question from the plain form in ``sample.meta['vqa']``.

    Args:
        record: Fields of ``VQAQuestion``.
    """
    return VQAQuestion(**{**record, 'choices': tuple(record['choices'])})
