"""Recorded scores of masks (folders with ``inputs.npz`` and a ``refseg`` and ``png`` score)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from flmm.apis.golden.result import GoldenResult, compare_array, compare_exact
from flmm.evaluation import functional as F
from flmm.evaluation.metrics import PNGMetric, RESMetric
from flmm.structures import GroundingPrediction, GroundingSample, Phrase
from flmm.utils.safe_io import load_json

FLOAT_TOLERANCE = 1e-5
# Recorded name -> ours (the recorded one is a share, ours is in percent).
PNG_KEYS = {
    'aIoU': 'average_recall',
    'aIoU_singulars': 'average_recall_singular',
    'aIoU_plurals': 'average_recall_plural',
    'aIoU_things': 'average_recall_things',
    'aIoU_stuff': 'average_recall_stuff',
    'aAcc@0.5': 'accuracy@0.5',
    'pixel_accs': 'pixel_accuracy',
}
RES_KEYS = {'cIoU': 'ciou', 'mIoU': 'miou'}


def recognise(folder: Path) -> bool:
    """Whether the folder holds recorded scores of masks."""
    golden, inputs = folder / 'golden.json', folder / 'inputs.npz'
    if not (golden.is_file() and inputs.is_file()):
        return False
    content = load_json(golden)
    return isinstance(content, dict) and {'samples', 'png', 'refseg'} <= content.keys()


def check(folder: Path) -> list[GoldenResult]:
    """Compute every recorded number again, through the functions and through the metrics.

    Args:
        folder: What ``recognise`` accepted.

    Returns:
        One result per number: integers exact, floats within 1e-5.
    """
    golden = load_json(folder / 'golden.json')
    results, predictions = [], []
    with np.load(folder / 'inputs.npz', allow_pickle=False) as inputs:
        for index, record in enumerate(golden['samples']):
            prediction = _prediction(index, record, inputs)
            wanted = _unpack(inputs[f's{index}_pred_packed'], record)
            name = f's{index}/pred_masks'
            results.append(compare_exact(name, prediction.pred_masks.numpy(), wanted))
            results += _check_sample(f's{index}', prediction, record)
            predictions.append(prediction)
    for index, record in enumerate(golden.get('refseg_per_sample', [])):
        results += _check_refseg(f'refseg_per_sample/{index}', predictions[index], record)
    results += _check_metric('png', PNGMetric(), predictions, golden['png'], PNG_KEYS)
    results += _check_metric('refseg', RESMetric(), predictions, golden['refseg'], RES_KEYS)
    for name, record in golden.get('average_accuracy', {}).items():
        got = F.average_recall(record['ious'])
        want = float(record['value'])
        results.append(compare_array(f'average_accuracy/{name}', got, want, atol=FLOAT_TOLERANCE))
    return results


def _prediction(index: int, record: dict, inputs: np.lib.npyio.NpzFile) -> GroundingPrediction:
    shape = record['height'], record['width']
    probs = torch.from_numpy(inputs[f's{index}_logits']).sigmoid()[None]
    probs = torch.nn.functional.interpolate(probs, size=shape, mode='bilinear')[0]
    phrases = [
        Phrase(f'phrase {i}', plural=plural, isthing=isthing)
        for i, (plural, isthing) in enumerate(zip(record['plural'], record['isthing'], strict=True))
    ]
    gt_masks = _unpack(inputs[f's{index}_gt_packed'], record)
    sample = GroundingSample(f's{index}', phrases=phrases, ori_shape=shape, gt_masks=gt_masks)
    return GroundingPrediction(sample, probs > 0.5)


def _unpack(packed: np.ndarray, record: dict) -> np.ndarray:
    count, height, width = record['n'], record['height'], record['width']
    bits = np.unpackbits(packed, axis=1, count=height * width)
    return bits.reshape(count, height, width).astype(bool)


def _check_sample(name: str, prediction: GroundingPrediction, record: dict) -> list[GoldenResult]:
    masks, gt_masks = prediction.pred_masks, prediction.sample.gt_masks
    intersection, union = F.intersection_and_union(masks, gt_masks)
    correct = F.correct_pixels(masks, gt_masks)
    accuracy = F.pixel_accuracy(correct, [record['height'] * record['width']] * record['n'])
    ious = F.iou(intersection, union)
    return [
        compare_exact(f'{name}/intersection', intersection, record['intersection']),
        compare_exact(f'{name}/union', union, record['union']),
        compare_array(f'{name}/iou', ious, record['iou'], atol=FLOAT_TOLERANCE),
        compare_array(f'{name}/pixel_acc', accuracy, record['pixel_acc'], atol=FLOAT_TOLERANCE),
    ]


def _check_refseg(name: str, prediction: GroundingPrediction, record: dict) -> list[GoldenResult]:
    intersection, union = F.intersection_and_union(
        prediction.pred_masks, prediction.sample.gt_masks
    )
    iou_sum = F.iou(intersection, union).sum()
    return [
        compare_exact(f'{name}/overlap', int(intersection.sum()), record['overlap']),
        compare_exact(f'{name}/union', int(union.sum()), record['union']),
        compare_exact(f'{name}/n', len(union), record['n']),
        compare_array(f'{name}/iou_sum', iou_sum, record['iou_sum'], rtol_of_max=FLOAT_TOLERANCE),
    ]


def _check_metric(
    name: str,
    metric: PNGMetric | RESMetric,
    predictions: list[GroundingPrediction],
    recorded: dict,
    keys: dict[str, str],
) -> list[GoldenResult]:
    """Compare recorded shares (png) or percents (refseg) with the metric's percents."""
    metric.process({}, predictions)
    got = metric.compute_metrics(metric.results)
    unit = 0.01 if name == 'png' else 1.0
    return [
        compare_array(
            f'{name}/{theirs}',
            got[ours] * unit,
            float(recorded[theirs]),
            rtol_of_max=FLOAT_TOLERANCE,
        )
        for theirs, ours in keys.items()
        if theirs in recorded
    ]
