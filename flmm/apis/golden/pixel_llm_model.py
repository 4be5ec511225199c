"""The recorded tiny PixelLLM, and its box decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from flmm.apis.golden.pixel_llm_modules import ModulesCase
from flmm.apis.golden.pixel_llm_recipe import (
    close,
    count_layers,
    noise,
    recipe_arrays,
)
from flmm.apis.golden.result import GoldenResult, compare_array, compare_exact
from flmm.models import flax_weights as fw
from flmm.models.box_heads import DenseBoxHead
from flmm.models.systems.pixel_llm import PixelLLM

IMAGE = 64


@torch.no_grad()
def check_full_model(case: ModulesCase) -> list[GoldenResult]:
    """Compare a forward pass, boxes and losses of the whole model."""
    system = build_system(case)
    inputs = 'full_model/'
    boxes = case.tensor(f'{inputs}prompt_boxes')
    tokens = case.tensor(f'{inputs}gt_text_tokens').long()
    images = case.noise('in:full_images', len(tokens), IMAGE, IMAGE, 3).permute(0, 3, 1, 2)
    images = images * 40 + 120
    inside = case.tensor(f'{inputs}padding_mask')
    inside = inside.repeat_interleave(8, 1).repeat_interleave(8, 2)
    visual = system.look(system.encode(images, inside), boxes)
    logits, hidden = system.read(visual, tokens)
    points = system.locate(hidden, inside)
    truth = case.noise('in:full_gt_points', *points.shape) * 20 + 20
    losses = system.loss(images, inside, tokens, boxes, gt_points=truth)
    got = {
        'visual_features': visual,
        'prompt_point_coords': system.prompt_encoder.box_points(boxes),
        'text_logits': logits.flatten(0, 1),
        'point_coords': points,
        'point_logits': system.point_head(hidden)[1],
        'boxes_from_points_all': system.word_rules.boxes(points, tokens, 'begin,end,pad'),
        'boxes_from_points_^end-1': system.word_rules.boxes(points, tokens),
        'point_loss': losses['loss_point'],
        'text_loss': losses['loss_text'],
    }
    return [close(inputs + name, value, case.want[inputs + name]) for name, value in got.items()]


def build_system(case: ModulesCase) -> PixelLLM:
    """Build and fill the recorded model; sizes come from the shapes of its weights."""
    shapes = case.shapes['full_model']
    vocab, channels = shapes['textual/embedding/words/embedding']
    width, sam = shapes['git_backbone/cls_token'][-1], shapes['sam_backbone/pos_embed'][-1]
    outputs, inner = shapes['prompt_adapter/output_tokens.weight']
    prompt = shapes['prompt_encoder/no_mask_embed.weight'][1]
    visual = shapes['textual/visual_projection.0/kernel'][0]
    image_channels = shapes['prompt_adapter/image_projection_mlp/layers.0/kernel'][0]
    depth = count_layers(shapes, 'sam_backbone/blocks.', '/')
    system = PixelLLM(
        image_encoders=[
            dict(
                type='EVA02Encoder',
                image_size=56,
                width=width,
                depth=count_layers(shapes, 'git_backbone/blocks.', '/'),
                num_heads=4,
            ),
            dict(
                type='SAMImageEncoder',
                image_size=IMAGE,
                config=dict(
                    hidden_size=sam,
                    num_hidden_layers=depth,
                    num_attention_heads=4,
                    mlp_dim=4 * sam,
                    global_attn_indexes=tuple(range(1, depth)),
                ),
            ),
        ],
        prompt_encoder=dict(type='LocationPromptEncoder', channels=prompt),
        prompt_extractor=dict(
            type='PromptFeatureExtractor',
            image_channels=image_channels,
            prompt_channels=prompt,
            channels=inner,
            num_outputs=outputs,
            out_channels=visual,
            depth=count_layers(shapes, 'prompt_adapter/transformer/layers.', '/'),
            dense=True,
        ),
        text_decoder=dict(
            type='PrefixTextDecoder',
            vocab_size=vocab,
            visual_channels=visual,
            channels=channels,
            num_layers=count_layers(shapes, 'textual/transformer/encoder/layer.', '/'),
            num_heads=4,
            max_length=shapes['textual/embedding/positions/embedding'][0],
            begin_id=1,
            end_id=2,
        ),
        point_head=dict(
            type='MLPPointHead',
            in_channels=channels,
            hidden_channels=shapes['point_predictor/mlp/layers.0/kernel'][1],
            depth=count_layers(shapes, 'point_predictor/mlp/layers.', '/'),
        ),
        # The recorded loss is not weighted.
        point_loss=dict(weight=1.0),
    )
    system.load_state_dict(fw.pixel_llm_state(recipe_arrays(case.seed, shapes), system))
    return system.eval()


@torch.no_grad()
def check_box_decoder(
    keys: Mapping[str, Any], want: Mapping[str, np.ndarray]
) -> list[GoldenResult]:
    """Compare heat maps, boxes, detections and matches.

    Args:
        keys: Contents of ``box_decoder_keys.json``.
        want: Contents of ``box_decoder.npz``.
    """
    shapes, args = keys['keys'], keys['args']
    fc = _numbers(args['roi_fc_dims'])
    strides = _numbers(args['strides'])
    channels, out = shapes['fpn/simfp_4.0/kernel'][2:]
    head = DenseBoxHead(
        pyramid=dict(in_channels=channels, out_channels=out),
        proposals=dict(strides=strides, nms_iou=float(args['iou_thresh'])),
        roi=dict(channels=fc),
        test_counts=(int(args['pre_nms_topk_test']), int(args['post_nms_topk_test'])),
        match_iou=float(args['match_gt_thresh']),
        nms_iou=float(args['roi_nms_threshold']),
        score_threshold=float(args['roi_score_threshold']),
        max_detections=int(args['roi_post_nms_num_detections']),
    )
    arrays = recipe_arrays(keys['seed'], shapes)
    head.load_state_dict(fw.box_head_state(arrays, head.pyramid.factors))
    head.eval()
    # The third level, a quarter of the first, is the finest that is recorded whole.
    side = 2 * want['heatmaps_2'].shape[1]
    features = noise(keys['seed'], 'in:feat', (len(want['heatmaps_2']), side, side, channels))
    results = []
    heatmaps, boxes = head.proposals(head.pyramid(features.permute(0, 3, 1, 2)))
    for level, maps in enumerate(zip(heatmaps, boxes, strict=True)):
        for name, value in zip(('heatmaps', 'box_regs'), maps, strict=True):
            value = value.permute(0, 2, 3, 1)
            value = value[:, ::2, ::2] if value.shape[1] >= 16 else value
            results.append(close(f'{name}_{level}', value, want[f'{name}_{level}']))
    shape = (side * 16, side * 16)
    for index, (found, scores) in enumerate(head.predict(features, [shape] * len(features))):
        count = int(want['num_detections'][index])
        results.append(compare_exact(f'num_detections/{index}', len(found), count))
        for name, value in (('boxes', found), ('scores', scores)):
            recorded = want[f'detection_{name}'][index, :count]
            results.append(compare_array(f'detection_{name}/{index}', value, recorded, atol=1e-3))
    return results + _check_matches(head, want)


def _check_matches(head: DenseBoxHead, want: Mapping[str, np.ndarray]) -> list[GoldenResult]:
    proposals = torch.tensor([[10.0, 20, 60, 80], [100, 100, 160, 150], [0, 0, 30, 30]])
    truth = torch.tensor([[12.0, 22, 58, 78], [100, 110, 200, 200], [0, 0, 0, 0]])
    owner, match = head.match(proposals, truth)
    classes = torch.tensor([1, 1, 0])[owner] * match
    return [
        compare_exact('match_gt/idx', owner[None], want['match_gt/idx']),
        compare_exact('match_gt/classes', classes[None], want['match_gt/classes']),
    ]


def _numbers(text: str) -> tuple[int, ...]:
    """Read a tuple of numbers such as ``(8, 16)`` without evaluating it."""
    return tuple(int(part) for part in text.strip('()').split(',') if part.strip())
