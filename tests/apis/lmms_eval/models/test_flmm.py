from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from flmm.apis.lmms_eval import answers
from flmm.apis.lmms_eval.models import AVAILABLE_MODELS, manifests
from flmm.models.systems import Pink, collavo
from flmm.models.systems.grounded_conversation import decode_answer
from flmm.registry import MODELS
from flmm.structures import PanopticMap, Segment
from flmm.utils.errors import FLMMError


@pytest.fixture
def model(adapter, tiny_llava, tiny_processor):
    """The adapter around a tiny LMM, built without a config."""
    from flmm.models.lmms import HFLMM

    class Inferencer:
        device = 'cpu'
        processor = tiny_processor
        pipeline = ()
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


@pytest.fixture
def crayon_config(tmp_path, tiny_llava):
    """File of a CoLLaVO on the tiny LLaVA; the whole picture is one segment."""
    lmm = dict(type='HFLMM', pretrained=str(tiny_llava), dtype='float32')
    processor = dict(
        type='LMMProcessor',
        tokenizer=str(tiny_llava),
        image_processor=dict(type='PadToSquareImageProcessor', size=48, patch_size=8),
    )
    config = Config(
        dict(
            model=dict(
                type='CoLLaVO',
                lmm=lmm,
                tokenizer=str(tiny_llava),
                crayon=dict(embed_channels=4, num_classes=2, max_instances=2),
                adapters=dict(rank=2),
            ),
        )
    )
    steps = [
        dict(type='LoadPanoptic', segmenter=dict(type='OneSegment')),
        dict(type='DescribeSegments', class_names=['cat', 'sky']),
        dict(type='PrepareLMMInputs', processor=processor),
        dict(type='AddCrayonMap', num_classes=2, max_instances=2),
    ]
    config.test_dataloader = dict(pope=dict(dataset=dict(pipeline=steps)))
    config.dump(tmp_path / 'config.py')
    return str(tmp_path / 'config.py')


@pytest.fixture(autouse=True)
def one_segment():
    """A segmenter that finds a sky everywhere."""

    @MODELS.register_module(name='OneSegment', force=True)
    class OneSegment:
        def __call__(self, sample):
            return PanopticMap(np.ones((6, 6), np.int64), (Segment(1, 1),))

    yield
    MODELS._module_dict.pop('OneSegment')


def test_a_collavo_answers_as_a_whole(adapter, crayon_config, monkeypatch):
    model = adapter.FLMMModel(crayon_config, device='cpu')
    images = [Image.new('RGB', (8, 4), 'red'), Image.new('RGB', (4, 8), 'blue')]
    model.task_dict = {'t': {'test': [images[:1], images]}}
    system, seen = model.inferencer.model, []
    with torch.no_grad():
        for parameter in system.adapters.parameters():
            parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(0))
    predict = system.predict

    def watched(inputs, samples):
        seen.append((inputs[0], samples[0].prompt, system.max_new_tokens))
        return predict(inputs, samples)

    monkeypatch.setattr(system, 'predict', watched)
    (said,) = model.generate_until([request('what is there', max_new_tokens=5)])
    (inputs, prompt, length) = seen[0]
    assert inputs.tensors['crayon_classes'].tolist()[0].count(2) > 0 and length == 5
    assert prompt.startswith('<image>\n') and '(#1 sky)' in prompt and 'what is there' in prompt
    alone = system.lmm.generate([collavo.without_maps([inputs])[0]], 5)[0]
    assert said != decode_answer(system.tokenizer, alone)
    with pytest.raises(FLMMError, match='tells of one image, the task shows 2'):
        model.generate_until([request('what is there', 1)])
    with pytest.raises(FLMMError, match='asks for masks'):
        model.generate_until([request('[a cat]', flmm='ground')])


def test_a_system_that_needs_more_than_a_question_is_refused(adapter):
    with pytest.raises(FLMMError, match='cannot test Pink'):
        adapter.check_system(Pink.__new__(Pink))


@pytest.mark.skipif(
    'lmms_eval' not in metadata.packages_distributions(), reason='lmms-eval is an optional extra'
)
def test_lmms_eval_itself_finds_the_model_by_its_entry_point():
    (manifest,) = manifests()
    assert manifest.model_id == 'flmm'
    assert manifest.simple_class_path == 'flmm.apis.lmms_eval.models.flmm.FLMMModel'
