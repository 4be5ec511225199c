"""A dataset, a transform and a model without weights, for tests of loops and evaluation."""

import numpy as np
import torch
from mmengine.model import BaseModel
from PIL import Image

from flmm.datasets.base import GroundingDataset
from flmm.structures import (
    GroundingPrediction,
    GroundingSample,
    LMMInputs,
    Phrase,
    SkippedSample,
    TextPiece,
)


class Stripes(GroundingDataset):
    """Images of 12x10 with one phrase each, the left ``2 + 2 * (index % 5)`` columns."""

    def __init__(self, count, skip=(), name='stripes', pipeline=()):
        super().__init__(name, pipeline)
        self.count, self.skip = count, set(skip)

    def __len__(self):
        return self.count

    def sample_id(self, index):
        return f'{self.name}/{index:03d}'

    def read_sample(self, index):
        if index in self.skip:
            phrases = (Phrase('gone'),)
            return SkippedSample(self.sample_id(index), 'image_unreadable', 'gone.jpg', phrases)
        mask = np.zeros((1, 10, 12), dtype=bool)
        mask[0, :, : 2 + 2 * (index % 5)] = True
        return GroundingSample(
            self.sample_id(index),
            image=Image.new('RGB', (12, 10), (90, 120, 60)),
            ori_shape=(10, 12),
            pieces=[TextPiece('a stripe', 0)],
            phrases=[Phrase('a stripe')],
            gt_masks=mask,
        )


class NoLMM:
    """Inputs without content, where a config would name an LMM's processor."""

    def __call__(self, item):
        if isinstance(item, GroundingSample):
            ids = torch.zeros(1, dtype=torch.int64)
            item.lmm_inputs = LMMInputs(ids, ids.clone(), (), item.ori_shape)
        return item


class HalfRight(BaseModel):
    """Predicts the truth; its coarse masks are the left 4 columns at most."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, samples, skipped=(), mode='predict'):
        assert mode == 'predict' and not self.training and not torch.is_grad_enabled()
        predictions = []
        for sample in samples:
            masks = torch.from_numpy(sample.gt_masks)
            coarse = masks.clone()
            coarse[..., 4:] = False
            predictions.append(GroundingPrediction(sample, masks, coarse, torch.ones(1)))
        return predictions
