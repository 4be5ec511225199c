"""A model of a few numbers, half of it frozen, and a dataset in fixed order, for real trainings."""

import torch
from mmengine.model import BaseModel
from torch import nn


class Numbers(torch.utils.data.Dataset):
    """x and 3x, the same in every run."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        x = torch.full((4,), (index + 1) / 8)
        return {'x': x, 'y': 3 * x}


class TinyModel(BaseModel):
    """A frozen layer, a trained one with running statistics."""

    def __init__(self, fail_at=None):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.frozen = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.frozen.requires_grad_(False)
        # The other way round the bias would have no gradient but rounding noise.
        self.head = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4))
        for parameter in self.parameters():
            parameter.data.copy_(torch.rand(parameter.shape, generator=generator))
        self.fail_at = fail_at
        self.steps = 0

    def train(self, mode=True):
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, x, y, mode='tensor'):
        self.steps += 1
        if self.fail_at == self.steps:
            raise RuntimeError('this training was told to fail')
        loss = (self.head(self.frozen(x)) - y).square().mean()
        return {'loss': loss} if mode == 'loss' else [loss]
