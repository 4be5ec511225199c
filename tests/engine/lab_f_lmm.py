"""The toy F-LMM for trainings in `lab.py`: tiny random LLaVA and SAM in the real layouts."""

import torch

from flmm.datasets.base import GroundingDataset
from flmm.engine.val_loop import MultiTaskValLoop
from flmm.evaluation.metrics import RESMetric
from flmm.models.lmms import HFLMM
from flmm.models.mask_heads import UNetMaskHead
from flmm.models.mask_refiners import SAMRefiner
from flmm.models.systems import FLMM


class Prepared(GroundingDataset):
    """Samples that a test has prepared and saved."""

    def __init__(self, path):
        super().__init__('prepared')
        # The test's own file, written a moment ago: whole objects, not only tensors.
        self.samples = torch.load(path, weights_only=False)

    def __len__(self):
        return len(self.samples)

    def sample_id(self, index):
        return self.samples[index].sample_id

    def read_sample(self, index):
        return self.samples[index]


def collate(samples):
    from flmm.datasets import grounding_collate

    return {**grounding_collate(samples)}


def adapt(cfg, job):
    """Put F-LMM in the place of the small net."""
    maps = job['maps']
    cfg.model = dict(
        type=FLMM,
        lmm=dict(type=HFLMM, pretrained=job['llava'], dtype=job.get('lmm_dtype', 'auto')),
        mask_head=dict(
            type=UNetMaskHead, in_channels=maps, base_channels=8, num_stages=2, upsample_to=16
        ),
        mask_refiner=dict(type=SAMRefiner, pretrained=job['sam']),
    )
    cfg.train_dataloader.dataset = dict(type=Prepared, path=job['samples'])
    cfg.train_dataloader.collate_fn = dict(type=collate)
    # Nothing reads the IoU that SAM predicts.
    cfg.find_unused_parameters = True
    if job.get('validate'):
        loader = dict(batch_size=1, num_workers=0, collate_fn=dict(type=collate))
        cfg.val_dataloader = dict(res=dict(loader, dataset=cfg.train_dataloader.dataset))
        cfg.val_evaluator = dict(res=[dict(type=RESMetric)])
        cfg.val_cfg = dict(type=MultiTaskValLoop, limit=job['validate'])
        cfg.train_cfg.val_interval = job['interval']
