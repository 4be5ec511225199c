import pytest
import torch

from flmm.datasets import grounding_collate
from flmm.models.lmms import HFLMM
from flmm.models.point_heads import AttentionPointHead, MLPPointHead
from flmm.models.systems import WordLocation
from flmm.structures import SkippedSample

PLACES = {'a red circle': (0.2, 0.3), 'the blue square': (0.8, 0.6), 'a star': (0.5, 0.9)}


@pytest.fixture
def build(tiny_llava):
    def build(num_points=1):
        torch.manual_seed(0)
        return WordLocation(
            lmm=dict(type=HFLMM, pretrained=str(tiny_llava), dtype='float32'),
            point_head=dict(
                type=MLPPointHead, in_channels=32, hidden_channels=64, num_points=num_points
            ),
        )

    return build


@pytest.fixture
def samples(make_sample):
    made = [make_sample(('a red circle', 'a star')), make_sample(('the blue square',), seed=1)]
    for sample in made:
        for phrase in sample.phrases:
            x, y = PLACES[phrase.text]
            phrase.meta |= {'point': [x, y], 'box': [x - 0.1, y - 0.1, x + 0.1, y + 0.1]}
    return made


def fit(model, samples, steps=150):
    # The LMM is frozen, so it need not read the same words in every step.
    features = model.lmm.phrase_features([sample.lmm_inputs for sample in samples])
    model.lmm.phrase_features = lambda inputs: features
    optimiser = torch.optim.AdamW(model.point_head.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = model(**grounding_collate(samples), mode='loss')['loss_point']
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    del model.lmm.phrase_features
    return loss.item()


def test_words_learn_to_point_and_the_lmm_stays_frozen(build, samples):
    model = build()
    before = {name: tensor.clone() for name, tensor in model.lmm.state_dict().items()}
    assert fit(model, samples) < 0.03
    assert all(torch.equal(before[n], t) for n, t in model.lmm.state_dict().items())
    assert not model.train().lmm.training
    predictions = model(**grounding_collate(samples), mode='predict')
    for sample, prediction in zip(samples, predictions, strict=True):
        height, width = sample.ori_shape
        for phrase, (x, y) in zip(sample.phrases, prediction.meta['points'], strict=True):
            want = PLACES[phrase.text]
            assert (x / width, y / height) == pytest.approx(want, abs=0.1)
        assert 'boxes_xyxy' not in prediction.meta and not prediction.pred_masks.any()


def test_two_points_are_the_corners_of_a_box(build, samples):
    model = build(num_points=2)
    fit(model, samples)
    prediction = model(**grounding_collate(samples), mode='predict')[1]
    ((x0, y0, x1, y1),) = prediction.meta['boxes_xyxy']
    height, width = samples[1].ori_shape
    assert [x0 / width, y0 / height, x1 / width, y1 / height] == pytest.approx(
        [0.7, 0.5, 0.9, 0.7], abs=0.1
    )
    assert prediction.meta['points'][0] == pytest.approx([(x0 + x1) / 2, (y0 + y1) / 2], rel=1e-4)


def test_words_that_were_cut_off_have_no_place_and_no_loss(build, samples):
    model = build()
    whole = model(**grounding_collate(samples[1:]), mode='loss')['loss_point']
    samples[0].lmm_inputs.phrase_ids.fill_(-1)
    batch = grounding_collate([*samples, SkippedSample('s', 'no_phrase')])
    assert model(**batch, mode='loss')['loss_point'].item() == pytest.approx(whole.item(), rel=1e-4)
    assert model(**batch, mode='predict')[0].meta['points'] == [None, None]
    loss = model(**grounding_collate(samples[:1]), mode='loss')['loss_point']
    loss.backward()
    assert loss.item() == 0 and all(p.grad is not None for p in model.point_head.parameters())


def test_mistakes_say_what_was_expected(build, samples):
    del samples[0].phrases[0].meta['point']
    with pytest.raises(ValueError, match="no point of 'a red circle'"):
        build()(**grounding_collate(samples), mode='loss')
    with pytest.raises(ValueError, match='tensor'):
        build()(**grounding_collate(samples), mode='tensor')
    with pytest.raises(ValueError, match='got 3'):
        build(num_points=3)


def test_layers_and_attention_widen_what_the_head_reads(tiny_llava, samples):
    model = WordLocation(
        lmm=dict(type=HFLMM, pretrained=str(tiny_llava), dtype='float32'),
        layers=(0, 2),
        attention=True,
        # Two layers of 32 channels; 4 numbers for each of 3 layers x 4 heads.
        point_head=dict(type=MLPPointHead, in_channels=64 + 48, num_points=1),
    )
    (feature,) = model.lmm.phrase_features([samples[0].lmm_inputs])
    read = model.read(feature, samples[0].ori_shape)
    assert read.shape == (2, 112)
    word = feature.hidden[1][-1]
    assert torch.allclose(read[1, :64], torch.cat([word[0], word[2]]))
    assert read[:, 64:].abs().max() < 2  # within the image, or the padding beside it
    assert model(**grounding_collate(samples), mode='loss')['loss_point'] > 0


def test_the_lmm_trains_on_demand(tiny_llava, samples):
    model = WordLocation(
        lmm=dict(type=HFLMM, pretrained=str(tiny_llava), dtype='float32'),
        point_head=dict(type=MLPPointHead, in_channels=32, num_points=1),
        train_lmm=True,
    )
    model.train()
    assert not model.lmm.training  # no dropout in what is only adapted
    model(**grounding_collate(samples), mode='loss')['loss_point'].backward()
    moved = {n for n, p in model.lmm.named_parameters() if p.grad is not None and p.grad.any()}
    assert any('language_model' in name for name in moved)
    with torch.no_grad():
        assert not model.locate([samples[0].lmm_inputs])[0][0].requires_grad
    # A process without a word takes part in all that the others learn, and adds nothing.
    model.half().zero_grad()
    loss = model.loss([], [])['loss_point']
    loss.backward()
    assert loss == 0
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_expressions_have_the_box_of_their_object(build, samples):
    for sample in samples:
        for phrase in sample.phrases:
            phrase.meta.clear()
            phrase.meta['box_xyxy'] = [4, 6, 20, 12]
    model = build(num_points=2)
    height, width = samples[0].ori_shape
    want = [[4 / width, 6 / height], [20 / width, 12 / height]]
    assert model._target(samples[0], 0) == want


def test_a_head_over_attention_maps_points_on_the_image_not_on_the_padded_square(build, samples):
    model = build()
    model.point_head = AttentionPointHead(32, 12, num_points=1, hidden_channels=8)
    inputs = [sample.lmm_inputs for sample in samples]
    # Every point in the middle of the grid's left upper quarter.
    model.point_head.forward = lambda states, maps: (
        torch.full((len(states), 1, 2), 0.25),
        maps.sum(1, keepdim=True),
    )
    for (points, _), one in zip(model.locate(inputs), inputs, strict=True):
        [grid] = one.grids
        x0, y0, x1, y1 = grid.box_xyxy
        height, width = one.image_shape
        expected = [(x0 + (x1 - x0) / 4) / width, (y0 + (y1 - y0) / 4) / height]
        assert points[0, 0].tolist() == pytest.approx(expected)


@torch.no_grad()
@pytest.mark.parametrize('over_maps', [True, False])
def test_autocast_does_not_round_points(build, samples, over_maps):
    model = build()
    if over_maps:
        model.point_head = AttentionPointHead(32, 12, num_points=1, hidden_channels=8)
    inputs = [sample.lmm_inputs for sample in samples]
    features = model.lmm.phrase_features(inputs)
    model.lmm.phrase_features = lambda _: features
    exact = model.locate(inputs)
    with torch.autocast('cpu', torch.bfloat16):
        found = model.locate(inputs)
    for (own, _), (expected, _) in zip(found, exact, strict=True):
        assert torch.equal(own, expected)


def test_a_head_over_attention_maps_learns_on_the_frozen_lmm(build, samples):
    model = build()
    torch.manual_seed(0)
    model.point_head = AttentionPointHead(32, 12, num_points=1, hidden_channels=32)
    assert fit(model, samples, steps=80) < 0.05
