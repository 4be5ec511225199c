import importlib.util
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from flmm.apis.lmms_eval import answers
from flmm.apis.lmms_eval.models import AVAILABLE_MODELS, manifests
from flmm.utils.errors import FLMMError


@pytest.fixture
def model(adapter, tiny_llava, tiny_processor):
    """The adapter around a tiny LMM, built without a config."""
    from flmm.models.lmms import HFLMM

    class Inferencer:
        device = 'cpu'
        processor = tiny_processor
        model = SimpleNamespace(lmm=HFLMM(str(tiny_llava), dtype='float32'))

        def __call__(self, image, text):
            count = text.count('[')
            masks = torch.zeros(count, image.height, image.width, dtype=torch.bool)
            masks[:, :, : image.width // 2] = True
            return SimpleNamespace(pred_masks=masks)

    built = adapter.FLMMModel.__new__(adapter.FLMMModel)
    super(adapter.FLMMModel, built).__init__()
    built.inferencer, built.max_new_tokens = Inferencer(), 4
    images = [Image.new('RGB', (8, 4), 'red'), Image.new('RGB', (4, 8), 'blue')]
    built.task_dict = {'t': {'test': [images[:1], images, [images]]}}
    return built


def request(text, doc_id=0, **options):
    return SimpleNamespace(args=(text, options, lambda doc: doc, doc_id, 't', 'test'))


def test_questions_about_one_or_several_images_are_answered(model):
    said = model.generate_until([request('what is there', i, max_new_tokens=3) for i in range(3)])
    assert len(said) == 3 and all(isinstance(text, str) for text in said)
    assert said[1] == said[2]  # some tasks nest their lists of images


def test_grounding_tasks_get_masks_as_text(model):
    (said,) = model.generate_until([request('[a cat] on [grass]', flmm='ground')])
    masks = answers.masks_of_text(said, 2, (4, 8))
    assert masks.shape == (2, 4, 8) and masks.sum() == 2 * 4 * 4


def test_answers_end_at_the_first_mark(adapter):
    assert adapter.cut_at('yes\nno END x', ['END', '\n']) == 'yes'
    assert adapter.cut_at(' yes ', '') == 'yes'


def test_other_tasks_and_arguments_are_refused(adapter, model):
    with pytest.raises(NotImplementedError):
        model.loglikelihood([])
    with pytest.raises(FLMMError, match='video'):
        adapter._images(['clip.mp4'])
    with pytest.raises(FLMMError, match='temperature'):
        adapter.FLMMModel('config.py', temperature=1)


def test_a_grounding_task_shows_one_image(model):
    with pytest.raises(FLMMError, match='one image, got 2'):
        model.generate_until([request('[a cat]', 1, flmm='ground')])


def test_the_plugin_names_the_class(adapter):
    assert AVAILABLE_MODELS == {'flmm': 'FLMMModel'}
    assert issubclass(adapter.FLMMModel, adapter.lmms) and adapter.FLMMModel.is_simple


@pytest.mark.skipif(
    importlib.util.find_spec('lmms_eval') is None, reason='lmms-eval is an optional extra'
)
def test_lmms_eval_itself_finds_the_model_by_its_entry_point():
    (manifest,) = manifests()
    assert manifest.model_id == 'flmm'
    assert manifest.simple_class_path == 'flmm.apis.lmms_eval.models.flmm.FLMMModel'
