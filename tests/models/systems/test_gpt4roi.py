"""GPT4RoI on a tiny random LLaVA: what is trained, what is read, what is written."""

import numpy as np
import pytest
import torch
from PIL import Image

from flmm.datasets.transforms import PrepareChoices
from flmm.engine.start_weights import hand_over_weights
from flmm.models.lmms import ConversationProcessor
from flmm.models.roi_extractors import MultiLevelRoIQuery
from flmm.models.systems import GPT4RoI
from flmm.models.systems.gpt4roi import echo_loss
from flmm.structures import GroundingSample, Region, Turn
from flmm.utils.errors import CheckpointError

EXTRACTOR = dict(
    type=MultiLevelRoIQuery, hidden_channels=16, box_channels=8, roi_size=3, rounds=1, shapes=True
)


@pytest.fixture(scope='module')
def processor(tiny_processor):
    return ConversationProcessor(tiny_processor, region_token_id=0)


def build(folder, processor, **options):
    torch.manual_seed(0)
    options = {'levels': (1, 2), 'max_new_tokens': 4, **options}
    model = GPT4RoI(
        lmm=dict(type='HFLMM', pretrained=str(folder), dtype='float32'),
        roi_extractor=EXTRACTOR,
        processor=None,
        **options,
    )
    model.processor = processor
    return model


@pytest.fixture(scope='module')
def model(tiny_llava, processor):
    return build(tiny_llava, processor).eval()


def sample_of(*turns, boxes=((2.0, 3.0, 30.0, 25.0),), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return GroundingSample(
        f'sample/{seed}',
        image=Image.fromarray(pixels),
        ori_shape=(30, 40),
        turns=[Turn(*turn) for turn in turns],
        regions=[Region(tuple(box)) for box in boxes],
    )


ASKED = ('<image>\nWhat is <region>?', 'a red circle')


@pytest.mark.parametrize(
    ('trains', 'parts'),
    [
        (('regions',), {'roi_extractor'}),
        (
            ('regions', 'projector', 'language'),
            {
                'roi_extractor',
                'lmm.model.model.multi_modal_projector',
                'lmm.model.model.language_model',
                'lmm.model.lm_head',
            },
        ),
        (('vision',), {'lmm.model.model.vision_tower'}),
    ],
)
def test_a_stage_trains_what_it_names(tiny_llava, processor, trains, parts):
    model = build(tiny_llava, processor, trains=trains)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert all(any(name.startswith(part + '.') for part in parts) for name in trained)
    assert not any(name.startswith(part + '.') for name in frozen for part in parts)


def test_the_region_vector_is_what_the_language_model_reads(model, processor):
    inputs = processor(sample_of(ASKED))
    seen = {}
    handles = [
        model.roi_extractor.register_forward_hook(lambda _m, _a, out: seen.update(vector=out[0])),
        model.lmm.decoder()
        .layers[0]
        .register_forward_pre_hook(lambda _m, args: seen.update(embeds=args[0])),
    ]
    with torch.no_grad():
        model.loss([inputs])
    for handle in handles:
        handle.remove()
    assert torch.equal(seen['embeds'][0, inputs.regions.positions], seen['vector'])


def test_another_box_changes_the_loss_and_outside_the_block_nothing_is_replaced(model, processor):
    with torch.no_grad():
        first = model.loss([processor(sample_of(ASKED))])['loss_lm']
        second = model.loss([processor(sample_of(ASKED, boxes=[(20, 10, 40, 30)]))])['loss_lm']
        plain = model.lmm([processor(sample_of(ASKED))])['loss_lm']
        again = model.loss([processor(sample_of(ASKED))])['loss_lm']
    assert first == again
    assert abs(first - second) > 1e-5 and abs(first - plain) > 1e-5


def test_a_batch_reads_each_sample_as_alone(model, processor):
    samples = [
        sample_of(ASKED, seed=1),
        sample_of(('<image>\nHello', 'x'), boxes=[], seed=2),
        sample_of(('<image> a longer request about <region> and <region>', None),
                  boxes=[(0, 0, 9, 9), (10, 5, 30, 25)], seed=3),
    ]  # fmt: skip
    open_ = [sample_of((s.turns[0].request, None), boxes=[r.box_xyxy for r in s.regions], seed=i)
             for i, s in enumerate(samples, 1)]  # fmt: skip
    inputs = [processor(sample) for sample in open_]
    together = [p.text for p in model.predict(inputs, open_)]
    alone = [model.predict([one], [s])[0].text for one, s in zip(inputs, open_, strict=True)]
    assert together == alone


def test_a_few_steps_of_stage_1_lower_the_loss(tiny_llava, processor):
    model = build(tiny_llava, processor).train()
    inputs = [processor(sample_of(ASKED))]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = model(inputs, [None])['loss_lm']
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.01
    assert all(p.grad is None for p in model.lmm.parameters())
    assert model.mean_region.any()


def test_all_that_trains_takes_part_in_a_batch_without_an_image(tiny_llava, processor):
    # A process whose gradients lack the projector's stops the others under DDP.
    model = build(tiny_llava, processor, trains=('regions', 'projector', 'language')).train()
    talk = GroundingSample('talk', turns=[Turn('Hello', 'a red circle')])
    model([processor(talk)], [talk])['loss_lm'].backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_the_echo_draws_vectors_to_what_the_lmm_sees_in_the_box(tiny_llava, processor):
    model = build(tiny_llava, processor, echo=1.0)
    asked = sample_of(ASKED, boxes=[(2.0, 3.0, 30.0, 15.0)])
    other = sample_of(ASKED, boxes=[(20.0, 10.0, 38.0, 28.0)], seed=1)
    inputs = [
        processor(one) for one in (asked, other, sample_of(('<image>\nWhat?', 'grass'), boxes=()))
    ]
    first = model.loss(inputs)
    assert set(first) == {'loss_lm', 'loss_echo'}
    optimizer = torch.optim.Adam(model.roi_extractor.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        echo = model.loss(inputs)['loss_echo']
        echo.backward()
        optimizer.step()
    assert echo < 0.2 * first['loss_echo']
    # Only differences between regions count.
    seen = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    assert echo_loss(seen + 7, seen) < 1e-6 and echo_loss(torch.ones(2, 2), seen) == 1
    assert echo_loss(torch.ones(1, 2), seen[:1]) == 0


def test_a_blind_language_model_learns_from_the_vectors_alone(tiny_llava, processor):
    # In eval mode the mean vector stays as it is.
    model = build(tiny_llava, processor, region_vectors='mean').eval()
    pictures = [processor(sample_of(ASKED, seed=seed)) for seed in (0, 1)]

    def losses():
        return [model.loss([inputs])['loss_lm'].item() for inputs in pictures]

    first, second = losses()
    assert abs(first - second) > 1e-4
    model.blind = 1.0
    first, second = losses()
    # All regions have the mean vector and no picture is seen: the texts are the same.
    assert first == pytest.approx(second, abs=1e-5)
    model.region_vectors = 'own'
    first, second = losses()
    assert abs(first - second) > 1e-4


def test_gradient_checkpointing_changes_no_gradient(tiny_llava, processor):
    inputs = [processor(sample_of(ASKED))]
    grads = []
    for checkpointing in (False, True):
        model = build(
            tiny_llava,
            processor,
            trains=('regions', 'language'),
            gradient_checkpointing=checkpointing,
        ).train()
        model.loss(inputs)['loss_lm'].backward()
        grads.append([p.grad for p in model.parameters() if p.grad is not None])
    assert len(grads[0]) == len(grads[1])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*grads, strict=True))


def test_a_loss_in_bfloat16_is_near_and_the_weights_stay_as_they_are(tiny_llava, processor):
    inputs = [processor(sample_of(ASKED))]
    exact = build(tiny_llava, processor).train().loss(inputs)['loss_lm']
    model = build(tiny_llava, processor, autocast=True).train()
    rough = model.loss(inputs)['loss_lm']
    assert 0 < abs(float(exact - rough)) < 0.05
    rough.backward()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert all(p.grad.isfinite().all() for p in model.roi_extractor.parameters())


def test_batches_without_region_or_without_sample_still_reach_every_parameter(
    tiny_llava, processor
):
    model = build(tiny_llava, processor).train()
    for inputs in ([], [processor(sample_of(('<image>\nHello', 'x'), boxes=[]))]):
        model.zero_grad()
        model.loss(inputs)['loss_lm'].backward()
        assert all(p.grad is not None for p in model.roi_extractor.parameters())


def test_a_dialogue_answers_its_turns_one_after_the_other(model, processor):
    sample = sample_of(
        ('<image>\nWhat is <region>?', None),
        ('And <region>?', None),
        boxes=[(0, 0, 9, 9), (10, 5, 30, 25)],
    )
    (prediction,) = model.predict([processor(sample)], [sample])
    first, second = prediction.answers
    assert prediction.text == second
    given = sample_of(
        ('<image>\nWhat is <region>?', first),
        ('And <region>?', None),
        boxes=[(0, 0, 9, 9), (10, 5, 30, 25)],
    )
    assert model.predict([processor(given)], [given])[0].text == second


def test_the_likeliest_candidate_is_chosen(model, processor):
    sample = sample_of(('<image>\nWhat is <region>?', None))
    sample.meta['choices'] = {
        'q2a': {
            'turns': [['<image>\nWhat is <region>?', None]],
            'candidates': ['a red circle', 'a blue square'],
            'label': 0,
        }
    }
    sample = PrepareChoices(processor).transform(sample)
    (prediction,) = model.predict([processor(sample)], [sample])
    scores = prediction.scores['q2a']
    with torch.no_grad():
        losses = [
            float(
                model.loss([processor(sample_of(('<image>\nWhat is <region>?', text)))])['loss_lm']
            )
            for text in ('a red circle', 'a blue square')
        ]
    assert scores == pytest.approx([-loss for loss in losses], rel=1e-5)
    assert prediction.choices == {'q2a': int(np.argmax(scores))}
    assert prediction.text == ''  # nothing is written where there is something to choose from


def test_the_control_gives_every_region_the_mean_vector(tiny_llava, processor):
    model = build(tiny_llava, processor, region_vectors='mean').eval()
    model.mean_region.normal_()
    losses = [
        float(model.loss([processor(sample_of(ASKED, boxes=[box]))])['loss_lm'].detach())
        for box in ((0, 0, 20, 20), (20, 10, 40, 30))
    ]
    assert losses[0] == losses[1]


def test_stage_2_starts_from_the_extractor_of_stage_1(tmp_path, tiny_llava, processor):
    first = build(tiny_llava, processor)
    for parameter in first.roi_extractor.parameters():
        parameter.data.normal_()
    state = {f'roi_extractor.{k}': v for k, v in first.roi_extractor.state_dict().items()}
    torch.save({'state_dict': state}, tmp_path / 'iter_9.pth')
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/iter_9.pth')
    second = build(tiny_llava, processor, regions_from=str(tmp_path))
    hand_over_weights(second)
    for name, value in second.roi_extractor.state_dict().items():
        assert torch.equal(value, first.roi_extractor.state_dict()[name])
    state.popitem()
    with pytest.raises(CheckpointError, match=r'iter_9\.pth.*lacks 1 weights'):
        second.take_weights(state, 'iter_9.pth')


def test_options_are_checked(tiny_llava, processor, model):
    with pytest.raises(ValueError, match='trains'):
        build(tiny_llava, processor, trains=('everything',))
    with pytest.raises(ValueError, match='region_vectors'):
        build(tiny_llava, processor, region_vectors='none')
    with pytest.raises(ValueError, match='modes'):
        model([], [], mode='tensor')
    with pytest.raises(ValueError, match='reach beyond the 3 layers'):
        build(tiny_llava, processor, levels=(1, 9)).loss([processor(sample_of(ASKED))])
