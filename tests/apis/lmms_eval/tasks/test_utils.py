from pathlib import Path

import pytest
import yaml
from PIL import Image
from pytest import approx

from flmm.apis.lmms_eval import answers
from flmm.apis.lmms_eval.tasks import utils
from flmm.utils.masks import decode_rle

FILES = sorted(Path(utils.__file__).parent.glob('*.yaml'))


def read_task(path):
    """A task's YAML as lmms-eval reads it: ``!function utils.name`` is that function."""

    class Loader(yaml.SafeLoader):
        pass

    def function(loader, node):
        module, name = loader.construct_scalar(node).split('.')
        assert module == 'utils'
        return getattr(utils, name)

    Loader.add_constructor('!function', function)
    return yaml.load(path.read_text(), Loader)


@pytest.fixture
def truth(doc):
    shape = tuple(doc['size'])
    return [decode_rle({'size': doc['size'], 'counts': counts}, shape) for counts in doc['gt']]


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_a_task_scores_right_and_wrong_answers_by_the_functions_it_names(path, doc, truth):
    task = read_task(path)
    assert task['task'] == path.stem and task['generation_kwargs'] == {answers.GROUND: 'ground'}
    assert task['doc_to_text'](doc) == '[the (sky)] and [a cat]'
    for answer, expected in ((answers.masks_as_text(truth), 100.0), ('It is at the left.', 0.0)):
        found = task['process_results'](doc, [answer])
        for metric in task['metric_list']:
            score = metric['aggregation']([found[metric['metric']]])
            # An average recall goes from one step of its thresholds to one before 100.
            assert score == approx(expected, abs=2e-3)
    assert {metric['metric'] for metric in task['metric_list']} == set(found)


def test_no_answer_at_all_is_a_wrong_one(doc):
    for process in (utils.png_process_results, utils.res_process_results):
        for entry in process(doc, []).values():
            assert entry['intersection'] == [0, 0]


def test_the_image_of_a_question_is_opened(tmp_path):
    Image.new('RGB', (8, 4), 'red').save(tmp_path / 'a.png')
    (image,) = utils.doc_to_visual({'image': str(tmp_path / 'a.png')})
    assert image.size == (8, 4) and image.mode == 'RGB'
