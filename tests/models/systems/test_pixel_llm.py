import pytest
import torch

from flmm.engine.checkpoint import load_trainable, save_training_state, trainable_state_dict
from flmm.engine.start_weights import hand_over_weights
from flmm.models.systems import PixelLLM
from flmm.registry import MODELS
from flmm.utils.errors import CheckpointError

pytest.importorskip('timm')


SAM = dict(
    hidden_size=16,
    output_channels=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    mlp_dim=16,
    patch_size=8,
    window_size=2,
    global_attn_indexes=[0],
    num_pos_feats=8,
)


def tiny(box_head=False, point_head=True, mask_head=False, **options):
    torch.manual_seed(0)
    encoder = dict(type='EVA02Encoder', image_size=56, width=16, depth=1, num_heads=2)
    if mask_head:
        encoder = dict(type='SAMImageEncoder', image_size=56, config=SAM, frozen=False)
    return PixelLLM(
        image_encoders=[encoder],
        prompt_encoder=dict(type='LocationPromptEncoder', channels=16),
        prompt_extractor=dict(
            type='PromptFeatureExtractor',
            image_channels=16,
            prompt_channels=16,
            channels=16,
            num_outputs=4,
            out_channels=16,
            depth=1,
        ),
        text_decoder=dict(
            type='PrefixTextDecoder',
            vocab_size=12,
            visual_channels=16,
            channels=32,
            num_layers=1,
            num_heads=4,
            max_length=8,
            begin_id=1,
            end_id=2,
            dropout=0.0,
        ),
        point_head=dict(type='MLPPointHead', in_channels=32, hidden_channels=32)
        if point_head
        else None,
        box_head=dict(
            type='DenseBoxHead',
            pyramid=dict(in_channels=16, out_channels=32, factors=(2.0, 1.0), num_top_levels=0),
            proposals=dict(
                strides=(7, 14), ranges=((0, 24), (24, 1000)), channels=32, num_layers=1
            ),
            roi=dict(channels=(32,), crop=3, strides=(8, 16)),
            train_counts=(40, 16),
            test_counts=(40, 8),
            max_detections=3,
        )
        if box_head
        else None,
        mask_head=dict(
            type='PromptedMaskHead',
            adapter=dict(
                type='MaskPromptAdapter',
                visual_channels=16,
                text_channels=32,
                channels=16,
                num_heads=2,
                depth=1,
            ),
            decoder=dict(hidden_size=16, num_attention_heads=2, mlp_dim=16, iou_head_hidden_dim=16),
        )
        if mask_head
        else None,
        proposals_per_image=6,
        **options,
    )


@pytest.fixture
def batch():
    torch.manual_seed(1)
    inside = torch.ones(2, 56, 56)
    inside[1, 42:] = 0
    images = torch.rand(2, 3, 56, 56) * 255
    images[1] *= 0.1  # a dark image, which nobody mistakes for the other
    return dict(
        images=images,
        inside=inside,
        tokens=torch.tensor([[[1, 5, 6, 2, 0]] * 2, [[1, 7, 8, 9, 2]] * 2]),
        prompt_boxes=torch.tensor([[[0.0, 0, 56, 56], [4, 4, 30, 30]]] * 2),
    )


def test_the_system_learns_words_and_places(batch):
    system = tiny()
    gt_points = torch.zeros(2, 2, 5, 2, 2)
    gt_points[:, :, 1], gt_points[:, :, 2] = 10.0, 40.0
    optimiser = torch.optim.AdamW(system.parameters(), lr=1e-2)
    history = []
    for _ in range(80):
        losses = system.loss(**batch, gt_points=gt_points)
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    assert history[-1]['loss_text'] < 0.5 * history[0]['loss_text']
    assert history[-1]['loss_point'] < 0.2 * history[0]['loss_point']
    result = system.eval().predict(batch['images'], batch['inside'], batch['prompt_boxes'])
    assert result[0]['tokens'][0, :4].tolist() == [1, 5, 6, 2]
    points = result[0]['points'][0, 1:3].mean(1)
    assert (points - torch.tensor([[10.0, 10.0], [40.0, 40.0]])).abs().max() < 4


def test_an_expression_is_located_by_its_last_word(batch):
    system = tiny().eval()
    tokens = batch.pop('tokens')
    result = system.predict(**batch, tokens=tokens)
    for index, last in ((0, 2), (1, 3)):
        corners = result[index]['points'][0, last]
        want = torch.cat([corners.amin(0), corners.amax(0)])
        assert torch.allclose(result[index]['word_boxes'][0], want)
    # The second image is 42 of 56 rows high: a point relative to it stays relative.
    assert result[1]['points'][..., 1].mean() < result[0]['points'][..., 1].mean()


def test_dense_captions_come_from_the_box_head(batch):
    system = tiny(box_head=True)
    losses = system.loss(**batch)
    assert set(losses) == {
        'loss_heatmap',
        'loss_proposals',
        'loss_score',
        'loss_box',
        'loss_text',
    }
    sum(losses.values()).backward()
    result = system.eval().predict(batch['images'], batch['inside'], max_length=4)
    for found in result:
        assert 0 < len(found['boxes_xyxy']) <= 3
        assert found['tokens'].shape[0] == len(found['scores']) == len(found['boxes_xyxy'])
        assert found['points'].shape[0] == len(found['scores'])


def test_images_that_are_not_for_detection_keep_their_places(batch):
    system = tiny(box_head=True)
    gt_boxes = torch.tensor([[[8.0, 8, 24, 24]] * 2] * 2)
    detect = torch.tensor([False, False])
    losses = system.loss(**batch, gt_boxes=gt_boxes, detect=detect)
    alone = tiny().loss(**batch, gt_boxes=gt_boxes)
    assert set(losses) == {'loss_text', 'loss_point'}
    assert losses['loss_text'].item() == pytest.approx(alone['loss_text'].item(), rel=1e-4)
    assert losses['loss_point'].item() == pytest.approx(alone['loss_point'].item(), rel=1e-4)
    mixed = system.loss(**batch, gt_boxes=gt_boxes, detect=torch.tensor([True, False]))
    # The second image alone has words with a place.
    second = {name: value[1:] for name, value in batch.items()}
    only = tiny().loss(**second, gt_boxes=gt_boxes[1:])['loss_point']
    assert mixed['loss_point'].item() == pytest.approx(only.item(), rel=1e-4)
    assert {'loss_heatmap', 'loss_box'} <= set(mixed)


def test_masks_are_learned_where_there_are_any(batch):
    system = tiny(mask_head=True)
    masks = torch.zeros(2, 2, 56, 56, dtype=torch.bool)
    masks[:, :, 8:24, 8:24] = True
    gt_boxes = torch.tensor([[[8.0, 8, 24, 24]] * 2] * 2)
    batch |= dict(gt_boxes=gt_boxes, gt_masks=masks)
    losses = system.loss(**batch, has_mask=torch.tensor([True, False]))
    assert {'loss_focal', 'loss_dice', 'loss_iou'} <= set(losses) and losses['loss_dice'] > 0
    sum(losses.values()).backward()
    assert system.mask_head.adapter.gate.grad.abs().sum() > 0
    none = system.loss(**batch, has_mask=torch.tensor([False, False]))
    assert none['loss_dice'] == 0 and none['loss_focal'] == 0
    images = {name: batch[name] for name in ('images', 'inside', 'prompt_boxes', 'tokens')}
    result = system.eval().predict(**images)
    assert result[0]['mask_logits'].shape == (2, 28, 28)


def test_places_are_needed_without_a_box_head(batch):
    system = tiny(point_head=False).eval()
    assert 'points' not in system.predict(**{k: v for k, v in batch.items() if k != 'tokens'})[0]
    with pytest.raises(ValueError, match='prompt_boxes'):
        system.predict(batch['images'], batch['inside'])
    with pytest.raises(ValueError, match='tensor'):
        system([], [], mode='tensor')
    assert MODELS.get('PixelLLM') is PixelLLM


def on_a_llava(tiny_llava, tokenizer, head=None, maps=False, **options):
    """The same on the tiny LLaVA's eyes and words."""
    torch.manual_seed(0)
    lmm = dict(type='HFLMM', pretrained=str(tiny_llava), dtype='float32')
    return PixelLLM(
        image_encoders=[dict(type='LMMImageEncoder', lmm=lmm)],
        prompt_encoder=dict(type='LocationPromptEncoder', channels=16),
        prompt_extractor=dict(
            type='PromptFeatureExtractor',
            image_channels=32,
            prompt_channels=16,
            channels=16,
            num_outputs=4,
            out_channels=16,
            depth=1,
        ),
        text_decoder=dict(
            type='LMMTextDecoder',
            lmm=lmm,
            tokenizer=tokenizer,
            visual_channels=16,
            layers=(0, 2),
            attention=True,
            maps=maps,
            max_length=8,
        ),
        point_head=head
        or dict(type='MLPPointHead', in_channels=2 * 32 + 8 * 12, hidden_channels=32),
        **{'cells_encoder': 0, **options},
    )


def test_a_pretrained_lmm_may_be_the_text_model(tiny_llava, tiny_tokenizer, batch):
    system = on_a_llava(tiny_llava, tiny_tokenizer, relative_to='canvas', autocast=True)
    gt_points = torch.zeros(2, 2, 5, 2, 2)
    gt_points[:, :, 1], gt_points[:, :, 2] = 10.0, 40.0
    optimiser = torch.optim.AdamW([p for p in system.parameters() if p.requires_grad], lr=3e-3)
    history = []
    for _ in range(60):
        losses = system.loss(**batch, gt_points=gt_points)
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    assert history[-1]['loss_text'] < 0.5 * history[0]['loss_text']
    assert history[-1]['loss_point'] < 0.4 * history[0]['loss_point']
    # The vision tower is frozen, the rest learns.
    frozen = {name.partition('.')[0] for name, p in system.named_parameters() if p.grad is None}
    assert frozen <= {'image_encoders', 'prompt_encoder'}
    result = system.eval().predict(batch['images'], batch['inside'], batch['prompt_boxes'])
    assert result[0]['tokens'][0, :4].tolist() == [1, 5, 6, 2]
    points = result[0]['points'][0, 1:3].mean(1)
    assert (points - torch.tensor([[10.0, 10.0], [40.0, 40.0]])).abs().max() < 8


def test_points_are_relative_to_the_image_or_to_the_canvas(tiny_llava, tiny_tokenizer):
    inside = torch.zeros(1, 56, 56)
    inside[0, 14:42] = 1
    hidden = torch.zeros(1, 1, 1, 2 * 32 + 8 * 12)
    found = {}
    for name in ('image', 'canvas'):
        system = on_a_llava(tiny_llava, tiny_tokenizer, relative_to=name)
        last = system.point_head.layers[-1]
        torch.nn.init.zeros_(last.weight)
        # Both coordinates at a quarter.
        torch.nn.init.constant_(last.bias, -0.5)
        found[name] = system.locate(hidden, inside)[0, 0, 0, 0].tolist()
    assert found == {'image': [14, 14 + 7], 'canvas': [14, 14]}
    # Half precision elsewhere must not make points coarse.
    torch.nn.init.normal_(last.weight)
    hidden = torch.randn(1, 1, 50, hidden.shape[-1])
    with torch.autocast('cpu', torch.bfloat16):
        coarse = system.locate(hidden, inside)
    assert torch.equal(coarse, system.locate(hidden, inside))
    with pytest.raises(ValueError, match='relative_to'):
        on_a_llava(tiny_llava, tiny_tokenizer, relative_to='page')


@torch.no_grad()
def test_equal_places_are_looked_at_once(batch):
    system = tiny().eval()
    features = system.encode(batch['images'], batch['inside'])
    boxes = batch['prompt_boxes'][:, [0, 1, 0, 0]]
    asked = []
    system.prompt_extractor.register_forward_pre_hook(
        lambda _, args: asked.append(tuple(args[2].shape[:2]))
    )
    together = system.look(features, boxes)
    alone = torch.cat([system.look(features, boxes[:, k : k + 1]) for k in range(4)], dim=1)
    assert asked == [(4, 1)] + [(2, 1)] * 4
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_head_over_attention_maps_is_handed_them(tiny_llava, tiny_tokenizer, batch):
    head = dict(type='AttentionPointHead', in_channels=2 * 32 + 8 * 12, num_maps=12)
    system = on_a_llava(tiny_llava, tiny_tokenizer, head, maps=True, relative_to='canvas').eval()
    seen = []
    system.point_head.register_forward_pre_hook(lambda _, args: seen.append(args[1].shape))
    boxes = torch.tensor([[[5.0, 5, 20, 20]] * 2] * 2)
    system.loss(**batch, gt_boxes=boxes)['loss_point'].backward()
    assert system.point_head.trust[0].weight.grad.abs().sum() > 0
    [shape] = seen
    # Two images with two captions of five tokens.
    assert shape[:4] == (2, 2, 5, 12)
    [result, _] = system.predict(
        **{name: batch[name] for name in ('images', 'inside', 'prompt_boxes', 'tokens')}
    )
    assert result['points'].shape == (2, 5, 2, 2)
    complete = dict(maps=True, relative_to='canvas')
    for missing in (dict(maps=False), dict(relative_to='image'), dict(cells_encoder=None)):
        with pytest.raises(ValueError, match="maps=True .* relative_to='canvas'.*cells_encoder"):
            on_a_llava(tiny_llava, tiny_tokenizer, head, **complete | missing)


def test_a_task_starts_from_the_weights_of_another():
    earlier = tiny()
    later = tiny(mask_head=False, box_head=True)
    with torch.no_grad():
        for weight in earlier.parameters():
            weight.add_(1)
    kept = later.box_head.state_dict()
    kept = {name: value.clone() for name, value in kept.items()}
    taken = later.take_weights(earlier.state_dict(), 'trace.pth')
    assert 'point_head.layers.0.weight' in taken
    assert not any(name.startswith('box_head') for name in taken)
    own = later.state_dict()
    assert all(torch.equal(own[name], earlier.state_dict()[name]) for name in taken)
    assert all(
        torch.equal(value, kept[name]) for name, value in later.box_head.state_dict().items()
    )
    with pytest.raises(CheckpointError, match='none of the weights'):
        later.take_weights({'other': torch.zeros(1)}, 'trace.pth')


def test_a_frozen_part_that_the_earlier_task_did_not_have_is_named(monkeypatch):
    """As joint_refseg on trace, which has no box head."""
    said = []
    monkeypatch.setattr('flmm.models.part_weights.print_log', lambda text, **_: said.append(text))
    weights = trainable_state_dict(tiny())
    tiny(frozen=('text_decoder', 'point_head')).take_weights(weights, 'trace.pth')
    assert not said
    tiny(box_head=True, frozen=('text_decoder', 'box_head')).take_weights(weights, 'trace.pth')
    assert len(said) == 1 and 'trace.pth lacks' in said[0] and '(box_head;' in said[0]


def test_frozen_parts_of_an_earlier_task_are_there_to_evaluate(tmp_path):
    """As refseg on ref: only the mask head trains, so its checkpoint alone says no word."""
    earlier = tiny()
    with torch.no_grad():
        for weight in earlier.text_decoder.parameters():
            weight.add_(1)
    save = {'meta': {'epoch': 0, 'iter': 1, 'seed': 0}}
    save_training_state({**save, 'state_dict': trainable_state_dict(earlier)}, tmp_path / 'ref.pth')
    options = dict(frozen=('text_decoder', 'point_head'), weights_from=str(tmp_path / 'ref.pth'))
    trained = tiny(**options)
    hand_over_weights(trained)
    with torch.no_grad():
        trained.prompt_extractor.output_tokens.add_(2)
    own = trainable_state_dict(trained)
    assert not any(name.startswith('text_decoder') for name in own)
    save_training_state({**save, 'state_dict': own}, tmp_path / 'refseg.pth')

    loaded = tiny(**options)
    load_trainable(loaded, tmp_path / 'refseg.pth')
    for name, weight in trained.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight), name
    (tmp_path / 'ref.pth').unlink()
    with pytest.raises(CheckpointError, match='ref.pth'):
        load_trainable(tiny(**options), tmp_path / 'refseg.pth')


def test_a_process_without_a_caption_adds_nothing_in_half_precision_either():
    system = tiny().half()
    with torch.no_grad():
        # Two weights whose sum half precision has no number for.
        system.text_decoder.output.weight[0, :2] = 60000.0
    loss = system.forward([], [])['loss_text']
    loss.backward()
    assert loss == 0 and not any(p.grad.any() for p in system.parameters() if p.requires_grad)


@torch.no_grad()
def test_captions_of_given_places_are_ranked_by_how_sure_the_text_model_is(batch):
    system = tiny().eval()
    given = {name: batch[name] for name in ('images', 'inside', 'prompt_boxes')}
    features = system.encode(batch['images'], batch['inside'])
    _, logp = system.text_decoder.generate(system.look(features, batch['prompt_boxes'])[0])
    first, _ = system.predict(**given)
    torch.testing.assert_close(first['scores'], logp.exp().sqrt())
    written = torch.tensor([[[1, 5, 6, 2]] * 2] * 2)
    read, _ = system.predict(**given, tokens=written)
    assert read['scores'].tolist() == [1, 1]
