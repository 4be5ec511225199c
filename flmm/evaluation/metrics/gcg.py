"""Grounded conversation generation: is what was said right, and is it where it was pointed?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from flmm.evaluation import functional as F
from flmm.evaluation import gcg
from flmm.evaluation.metrics.caption import score_entries
from flmm.evaluation.metrics.entry_metric import Entry, EntryMetric
from flmm.evaluation.ratio import Ratio
from flmm.registry import METRICS
from flmm.structures import GroundingPrediction, SkippedSample
from flmm.utils.masks import encode_rle


@METRICS.register_module()
class GCGMetric(EntryMetric):
    """AP50, mIoU and recall of the masks, METEOR and CIDEr of the text (GLaMM's protocol).

    The prediction is an answer with grounded phrases (``prediction.text``,
    ``prediction.sample.phrases``, ``pred_masks``); the truth is in
    ``prediction.sample.meta['truth']``, put there by the transform ``HideText``.

    Keys (percent): ``ap50``, ``miou`` (mean over images), ``recall``, ``meteor`` (needs Java,
    else nan with the reason), ``cider``, ``rouge_l``; besides ``num_images``, ``num_phrases``
    (true ones) and ``num_skipped``.

    Args:
        similarity: Of phrases, for ``recall``: ``'bert'`` (official, bert-base-uncased),
            ``'words'`` (no model), or a folder or hub id of a BERT.
        scores: Of masks, for ``ap50``: ``'one'`` (official: all alike) or ``'predicted'``.
        stop_at_misfit: See :func:`flmm.evaluation.gcg.num_recalled`; True is official.
        captions: Metrics of the text.
        prefix: See :class:`EntryMetric`.
        collect_device: See :class:`EntryMetric`.
    """

    default_prefix = 'gcg'
    headline = 'miou'
    ground_truth_keys = ('references', 'gt_rle')
    unit = 'image'

    def __init__(
        self,
        similarity: str = 'bert',
        scores: str = 'one',
        stop_at_misfit: bool = True,
        captions: Sequence[str] = ('meteor', 'cider', 'rouge_l'),
        prefix: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(prefix, collect_device)
        if scores not in ('one', 'predicted'):
            raise ValueError(f"scores must be 'one' or 'predicted', got {scores!r}.")
        if similarity == 'words':
            self.similarity: gcg.Similarity = gcg.WordSimilarity()
        else:
            name = 'bert-base-uncased' if similarity == 'bert' else similarity
            self.similarity = gcg.BertSimilarity(name)
        self.score_of = scores
        self.stop_at_misfit = stop_at_misfit
        self.captions = tuple(captions)

    def protocol(self) -> dict[str, Any]:
        """Choices that change the numbers, for the result file."""
        return {
            'similarity of phrases': self.similarity.describe(),
            'recall': 'IoU >= 0.5 and similarity >= 0.5, '
            + ('until the first misfit' if self.stop_at_misfit else 'all pairs'),
            'scores of masks': self.score_of,
            'miou': 'pairs that overlap only, as officially',
            'captions': 'pycocoevalcap; tokenizer of flmm, after PTBTokenizer',
            'skipped samples': 'count as missed in miou and recall; not in ap50 and the text',
        }

    def entry(self, prediction: GroundingPrediction) -> Entry:
        """Texts, run lengths, scores."""
        sample = prediction.sample
        truth = sample.meta.get('truth')
        if truth is None:
            raise ValueError(
                f'Sample {sample.sample_id} has no meta["truth"]. Does the pipeline of the test '
                'dataset contain HideText?'
            )
        masks = F.as_bool_masks(prediction.pred_masks)
        scores = prediction.scores
        scores = [1.0] * len(masks) if scores is None else torch.as_tensor(scores).tolist()
        return {
            'id': sample.sample_id,
            'skipped': '',
            'caption': prediction.text,
            'references': list(truth['references']),
            'phrases': [phrase.text for phrase in sample.phrases],
            'scores': scores,
            'size': list(masks.shape[1:]),
            'rle': [encode_rle(mask)['counts'] for mask in masks],
            'gt_phrases': list(truth['phrases']),
            'gt_rle': list(truth['rle']),
        }

    def skipped_entry(self, sample: SkippedSample) -> Entry:
        """Nothing said, nothing pointed at; the true phrases are missed."""
        return {
            'id': sample.sample_id,
            'skipped': sample.reason,
            'caption': '',
            'references': [],
            'phrases': [],
            'scores': [],
            'size': [1, 1],
            'rle': [],
            'gt_phrases': [phrase.text for phrase in sample.phrases],
            'gt_rle': [],
        }

    def compute_metrics(self, results: Sequence[Entry]) -> dict[str, float]:
        """Compute all values of merged entries, without the prefix."""
        texts, _ = score_entries(results, self.captions, self.reasons)
        values = {key: 100 * ratio.value for key, ratio in self.ratios(results).items()}
        images = [(_runs(e, 'rle'), self._scores(e), _runs(e, 'gt_rle')) for e in results]
        return {
            'ap50': 100 * gcg.average_precision_50(images),
            **values,
            **texts,
            'num_images': len(results),
            'num_phrases': sum(len(entry['gt_phrases']) for entry in results),
            'num_skipped': sum(bool(entry['skipped']) for entry in results),
        }

    def ratios(self, entries: Sequence[Entry]) -> dict[str, Ratio]:
        """``miou`` and ``recall``, in 0..1, with one term per image."""
        ious = [gcg.iou_matrix(_runs(e, 'rle'), _runs(e, 'gt_rle')) for e in entries]
        found = [
            gcg.num_recalled(
                matrix,
                entry['phrases'],
                entry['gt_phrases'],
                self.similarity,
                stop_at_misfit=self.stop_at_misfit,
            )
            for matrix, entry in zip(ious, entries, strict=True)
        ]
        wanted = [len(entry['gt_phrases']) for entry in entries]
        return {
            'miou': Ratio.mean(np.array([gcg.matched_miou(matrix) for matrix in ious])),
            'recall': Ratio(np.array(found, np.float64), np.array(wanted, np.float64)),
        }

    def sample_scores(self, entries: Sequence[Entry]) -> list[float]:
        """MIoU of each image, in percent."""
        return [
            100 * gcg.matched_miou(gcg.iou_matrix(_runs(e, 'rle'), _runs(e, 'gt_rle')))
            for e in entries
        ]

    def running(self) -> float:
        """MIoU so far."""
        scores = self.sample_scores(self.results)
        return F.mean(scores)

    def _scores(self, entry: Entry) -> list[float]:
        return [1.0] * len(entry['rle']) if self.score_of == 'one' else entry['scores']


def _runs(entry: Entry, key: str) -> list[gcg.Runs]:
    return [{'size': entry['size'], 'counts': counts} for counts in entry[key]]
