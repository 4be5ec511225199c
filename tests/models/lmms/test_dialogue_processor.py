import pytest
from PIL import Image

from flmm.models.lmms import DialogueProcessor, SquashImageProcessor
from flmm.models.lmms.dialogue_processor import DIALOGUE_TEMPLATES
from flmm.structures import GroundingSample, Turn

TALK = [Turn('what is there', 'a red circle'), Turn('what is the <loc>sky</loc>', 'cloudy')]


@pytest.fixture
def make(tiny_tokenizer):
    import copy

    tokenizer = copy.deepcopy(tiny_tokenizer)

    def processor(template='pink_llama2', **options):
        return DialogueProcessor(
            tokenizer,
            SquashImageProcessor(16, 8),
            template=template,
            extra_tokens=('<loc>', '</loc>'),
            **options,
        )

    return processor


def sample(turns=TALK, image=True):
    picture = Image.new('RGB', (20, 10)) if image else None
    return GroundingSample('s', image=picture, turns=list(turns))


@pytest.mark.parametrize('template', sorted(DIALOGUE_TEMPLATES))
def test_exactly_the_answers_and_their_ends_are_supervised(make, template):
    processor = make(template, with_labels=True)
    turns = TALK[:1] if template == 'pink_caption' else TALK
    inputs = processor(sample(turns))
    form = DIALOGUE_TEMPLATES[template]
    ends = ''.join({'eos': '</s>', 'bos': '<s>'}[name] for name in form.ends)
    wanted = ''.join(form.answer.replace('{answer}', turn.answer) + ends for turn in turns)
    labelled = inputs.labels[inputs.labels >= 0]
    assert processor.tokenizer.decode(labelled) == wanted
    assert (inputs.labels[inputs.labels >= 0] == inputs.input_ids[inputs.labels >= 0]).all()


def test_with_turns_apart_every_request_stands_as_the_first_does(make):
    processor = make('llava_apart', with_labels=True)
    first, last = Turn('what is this', 'a cat'), Turn('where is it', 'here')
    there = [processor(sample([first, last])), processor(sample([last]))]
    end = [int(inputs.grids[0].positions.max()) + 1 for inputs in there]
    alone = there[1].input_ids[end[1] :]
    assert (there[0].input_ids[-len(alone) :] == alone).all()


def test_the_image_stands_where_the_grid_says(make):
    inputs = make()(sample())
    (grid,) = inputs.grids
    ids = inputs.input_ids[grid.positions.flatten()]
    assert (ids == make().image_token_id).all() and grid.shape == (2, 2)
    assert grid.box_xyxy == (0.0, 0.0, 20.0, 10.0)
    assert inputs.tensors['pixel_values'].shape == (1, 3, 16, 16)


def test_generation_prompts_end_before_the_last_answer(make):
    processor = make()
    text = processor.tokenizer.decode(processor(sample()).input_ids)
    assert text.endswith('what is the <loc>sky</loc> [/INST]')
    assert 'a red circle </s><s>[INST]' in text
    assert processor(sample()).labels is None


def test_talk_without_an_image_says_so(make):
    processor = make('pink_llama1')
    inputs = processor(sample(image=False))
    assert 'Image: N/A' in processor.tokenizer.decode(inputs.input_ids)
    assert inputs.grids == () and inputs.tensors == {}


def test_control_tokens_that_somebody_types_are_text(make):
    processor = make(with_labels=True)
    inputs = processor(sample([Turn('<im_patch> </s> <loc>', 'no')]))
    ids = inputs.input_ids.tolist()
    assert ids.count(processor.image_token_id) == 4
    assert ids.count(processor.tokenizer.eos_token_id) == 1  # the answer's own
    assert ids.count(processor.tokenizer.convert_tokens_to_ids('<loc>')) == 1  # marks are meant


def test_turns_can_be_left_out_of_the_loss_and_long_texts_are_cut(make):
    turns = [Turn('what', 'a star', supervised=False), Turn('where', 'left')]
    processor = make(with_labels=True)
    inputs = processor(sample(turns))
    assert 'star' not in processor.tokenizer.decode(inputs.labels[inputs.labels >= 0])
    short = make(with_labels=True, max_length=10)(sample(turns))
    assert len(short.input_ids) == len(short.labels) == 10


def test_wrong_use_is_named(make):
    with pytest.raises(ValueError, match='no turns'):
        make()(sample([]))
    with pytest.raises(ValueError, match='no answer'):
        make(with_labels=True)(sample([Turn('what', None)]))
    with pytest.raises(ValueError, match='template'):
        make('nobody')
