import json

import numpy as np
import pytest
from benchmark_layouts import WRITERS, lettered_ai2d

from flmm.datasets.benchmarks import BENCHMARK_FILES, VQABenchmark, read_benchmark
from flmm.datasets.benchmarks.dataset import question_from
from flmm.structures import GroundingSample
from flmm.utils.errors import AnnotationError, FLMMError, InputFileError


@pytest.mark.parametrize('benchmark', sorted(BENCHMARK_FILES))
def test_every_benchmark_becomes_samples_that_any_lmm_can_answer(benchmark, tmp_path):
    dataset = VQABenchmark(benchmark, str(WRITERS[benchmark](tmp_path)), str(tmp_path))
    ids = [dataset.sample_id(i) for i in range(len(dataset))]
    assert len(ids) == len(set(ids)) > 0 and ids[0].startswith(f'{benchmark}/')
    for index in range(len(dataset)):
        sample = dataset[index]
        assert isinstance(sample, GroundingSample)
        question = dataset.question(index)
        assert sample.prompt.startswith('<image>\n') and question.question in sample.prompt
        assert (sample.image is not None) == (benchmark in ('mmbench', 'mmbench_cn'))
        assert question_from(sample.meta['vqa']).id == question.id
        assert 'base64' not in sample.meta['vqa']['meta']


@pytest.mark.parametrize('benchmark', sorted(BENCHMARK_FILES))
def test_the_file_of_another_benchmark_is_refused_with_what_was_expected(benchmark, tmp_path):
    for other, write in WRITERS.items():
        if {benchmark, other} == {'mmbench', 'mmbench_cn'} or benchmark == other:
            continue
        root = tmp_path / other
        root.mkdir()
        with pytest.raises(InputFileError) as caught:
            read_benchmark(benchmark, str(write(root)))
        said = str(caught.value)
        assert str(root) in said
        assert f'{benchmark} reads {BENCHMARK_FILES[benchmark].file}' in said


def test_options_and_hint_stand_in_the_prompt_and_the_request_can_be_exchanged(tmp_path):
    path = str(WRITERS['scienceqa'](tmp_path))
    dataset = VQABenchmark('scienceqa', path, str(tmp_path), request='\nLetter?')
    assert len(dataset) == 1  # the other question has no image
    assert dataset[0].prompt == '<image>\nLook.\nWhich?\nA. x\nB. y\nLetter?'
    assert dataset.metainfo['request'] == '\nLetter?'
    both = VQABenchmark('scienceqa', path, str(tmp_path), images_only=False)
    assert not both[1].prompt.startswith('<image>') and both[1].image_path is None


def test_an_id_that_comes_twice_is_an_error(tmp_path):
    path = WRITERS['qbench'](tmp_path)
    assert len(read_benchmark('qbench', str(path))) == 1
    path = WRITERS['seed'](tmp_path)
    text = path.read_text().replace('"video"', '"image"').replace('"9"', '"101669"')
    path.write_text(text)
    with pytest.raises(AnnotationError, match="two questions have the id '101669'"):
        read_benchmark('seed', str(path))


def test_images_outside_the_root_are_not_read(tmp_path):
    path = WRITERS['qbench'](tmp_path)
    path.write_text(path.read_text().replace('0.jpg', '../../secret.jpg'))
    dataset = VQABenchmark('qbench', str(path), str(tmp_path))
    assert dataset[0].reason == 'annotation_invalid'


def test_ai2d_shows_the_letters_that_it_asks_for(tmp_path):
    folder = lettered_ai2d(tmp_path)
    sample = VQABenchmark('ai2d', str(folder), str(tmp_path))[0]
    shown = np.asarray(sample.image).astype(int)
    green = (shown == (0, 128, 0)).all(2)
    # The label is covered, nothing else is.
    covered = np.zeros((50, 60), bool)
    covered[10:31, 10:41] = True
    assert np.array_equal(~green, covered)
    # In it a dark letter, large and in the middle.
    rows, columns = np.nonzero(shown.sum(2) < 100)
    dark = rows[covered[rows, columns]], columns[covered[rows, columns]]
    assert 10 < np.ptp(dark[0]) <= 20 and abs(dark[0].mean() - 20) < 3
    assert np.ptp(dark[1]) <= 30 and abs(dark[1].mean() - 25) < 3
    assert 'letters' not in sample.meta['vqa']['meta']
    # Without the file nobody could tell what A is.
    (tmp_path / 'ai2d/annotations/1.png.json').unlink()
    with pytest.raises(InputFileError, match='annotations/1.png.json.*no such file'):
        read_benchmark('ai2d', str(folder))


@pytest.mark.parametrize(
    'label',
    [
        {},
        {'rectangle': [1, 2], 'replacementText': 'A'},
        None,
        3,
        # What no picture has room for, and what is no letter: drawing would fail.
        {'rectangle': [[-1, 1], [10**30, 9]], 'replacementText': 'A'},
        {'rectangle': [[1, 1], [9, 9]], 'replacementText': 'A\nB'},
    ],
)
def test_letters_that_lie_nowhere_are_refused(label, tmp_path):
    folder = lettered_ai2d(tmp_path)
    path = tmp_path / 'ai2d/annotations/1.png.json'
    path.write_text(json.dumps({'text': {'T0': label}}))
    with pytest.raises(AnnotationError, match='tells no letters of a diagram'):
        read_benchmark('ai2d', str(folder))


def test_an_unknown_benchmark_is_named(tmp_path):
    with pytest.raises(FLMMError, match='known: ai2d, gqa'):
        read_benchmark('vqa99', str(tmp_path))


@pytest.mark.parametrize(
    'content', [b'\xff\x00garbage', b'{"a": ', b'null', b'[1]', b'{"a": [1]}', b'']
)
@pytest.mark.parametrize('benchmark', sorted(BENCHMARK_FILES))
def test_a_broken_file_is_refused_by_name(benchmark, content, tmp_path):
    path = WRITERS[benchmark](tmp_path)
    files = [file for file in path.rglob('*') if file.is_file()] if path.is_dir() else [path]
    texts = [file for file in files if file.suffix not in ('.jpg', '.png')]
    assert texts
    for file in texts:
        file.write_bytes(content)
    with pytest.raises(InputFileError) as caught:
        read_benchmark(benchmark, str(path))
    assert str(tmp_path) in str(caught.value)
    assert BENCHMARK_FILES[benchmark].file in str(caught.value)


@pytest.mark.parametrize('benchmark', sorted(BENCHMARK_FILES))
def test_a_missing_file_is_named(benchmark, tmp_path):
    with pytest.raises(InputFileError, match='nothing'):
        read_benchmark(benchmark, str(tmp_path / 'nothing'))
