"""The shapes that pass between the stages, read off a run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from mmengine.config import Config

from flmm.datasets.collate import grounding_collate
from flmm.registry import DATASETS, MODELS
from flmm.structures import GroundingSample


@dataclass(frozen=True)
class StageShape:
    """One row of the table.

    Attributes:
        stage: Where in the flow.
        name: What it is called in the code.
        shape: Its shape or value in this run.
        meaning: What the axes are.
    """

    stage: str
    name: str
    shape: str
    meaning: str


def trace_shapes(config: Config, num_samples: int = 2) -> list[StageShape]:
    """Run the first training samples of a config through every stage.

    Args:
        config: A grounding experiment (its heads may be untrained).
        num_samples: Samples in the batch.

    Returns:
        Rows in the order of the flow; those of single samples are of the first one.
    """
    dataset = DATASETS.build(config.train_dataloader.dataset)
    samples: list[GroundingSample] = []
    for index in range(len(dataset)):
        item = dataset[index]
        if isinstance(item, GroundingSample):
            samples.append(item)
        if len(samples) == num_samples:
            break
    model = MODELS.build(config.model).eval()
    batch = model.data_preprocessor(grounding_collate(samples))
    with torch.no_grad():
        features, coarse, refined = model.masks(batch['inputs'], samples)
        predictions = model.predict(batch['inputs'], samples)
        prepared, _ = model.mask_head.prepare(features[0].attention)
    losses = model.loss(batch['inputs'], samples)
    rows = _input_rows(samples)
    feature = features[0]
    rows += [
        _row('LMM', 'PhraseFeatures.attention', feature.attention, 'P phrases, K maps, h w cells'),
        _row('LMM', 'PhraseFeatures.hidden[0]', feature.hidden[0], 'T_p tokens, L layers, C'),
        _row('mask_head', 'enlarged maps', prepared, 'P, K, rows, columns'),
        _row('mask_head', 'coarse logits', coarse[0], 'P, rows, columns of the image only'),
    ]
    if refined is not None:
        texts = model.text_embeds(feature.hidden)
        pixels = samples[0].refiner_pixels
        embedding = model.mask_refiner.encode_images([pixels])
        rows += [
            _row('mask_refiner', 'text prompt of phrase 0', texts[0], 'T_p tokens, D'),
            _row('mask_refiner', 'image embedding', embedding, 'image, D, E, E'),
            _row('mask_refiner', 'refined logits', refined[0], 'P, H, W of the original image'),
        ]
    rows.append(StageShape('losses', ', '.join(losses), 'scalars', 'over the whole batch'))
    masks = predictions[0].pred_masks
    rows.append(_row('predictions', 'GroundingPrediction.pred_masks', masks, 'P, H, W, bool'))
    return rows


def _input_rows(samples: list[GroundingSample]) -> list[StageShape]:
    sample = samples[0]
    inputs, grid = sample.lmm_inputs, sample.lmm_inputs.grids[-1]
    rows = [
        StageShape('dataset', 'GroundingSample.text', repr(sample.text), 'the pieces, joined'),
        StageShape('dataset', 'phrases', str(len(sample.phrases)), 'P'),
        StageShape('transforms', 'ori_shape', str(sample.ori_shape), 'H, W in pixels'),
        _row('transforms', 'gt_masks', torch.as_tensor(sample.gt_masks), 'P, H, W, bool'),
        _row('transforms', 'LMMInputs.input_ids', inputs.input_ids, 'T tokens'),
        _row('transforms', 'ImageGrid.positions', grid.positions, 'h, w: index in the sequence'),
        StageShape(
            'transforms',
            'ImageGrid.box_xyxy',
            str(tuple(round(float(v), 1) for v in grid.box_xyxy)),
            'pixels of the original image',
        ),
    ]
    for name, tensor in inputs.tensors.items():
        rows.append(_row('transforms', f'LMMInputs.tensors[{name!r}]', tensor, 'image, 3, S, S'))
    if sample.refiner_pixels is not None:
        rows.append(_row('transforms', 'refiner_pixels', sample.refiner_pixels, '3, h, w, uint8'))
    rows.append(StageShape('collate', 'inputs, samples', f'lists of {len(samples)}', 'the batch'))
    return rows


def _row(stage: str, name: str, tensor: torch.Tensor, meaning: str) -> StageShape:
    return StageShape(stage, name, str(tuple(tensor.shape)), meaning)


def markdown_table(rows: list[StageShape]) -> str:
    """The rows as a Markdown table."""
    lines = ['| stage | what | shape | axes |', '|---|---|---|---|']
    lines += [f'| {r.stage} | `{r.name}` | {r.shape} | {r.meaning} |' for r in rows]
    return '\n'.join(lines)
