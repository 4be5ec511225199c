"""A whole tiny experiment as a config."""

import pytest
import torch
from mmengine.config import Config


@pytest.fixture(scope='module')
def tiny_config(tiny_llava, tiny_sam):
    """F-LMM on the tiny LLaVA, as a config's model and first test task."""
    processor = dict(
        type='LMMProcessor',
        tokenizer=str(tiny_llava),
        image_processor=dict(type='PadToSquareImageProcessor', size=48, patch_size=8),
    )
    pipeline = [
        dict(type='LoadImage'),
        dict(type='LoadMasks'),
        dict(type='AddPrompt', prompt='<image>\nDescribe this image.'),
        dict(type='PrepareLMMInputs', processor=processor),
        dict(type='PrepareRefinerPixels', longer_side=64),
    ]
    head = dict(type='UNetMaskHead', in_channels=12, base_channels=4, num_stages=3, upsample_to=16)
    return Config(
        dict(
            model=dict(
                type='FLMM',
                lmm=dict(type='HFLMM', pretrained=str(tiny_llava), dtype='float32'),
                mask_head=head,
                mask_refiner=dict(type='SAMRefiner', pretrained=str(tiny_sam)),
            ),
            test_dataloader=dict(png=dict(dataset=dict(type='PNGDataset', pipeline=pipeline))),
        )
    )


@pytest.fixture(scope='module')
def inferencer(tiny_config):
    """Built once for a file of tests; heads are untrained."""
    from flmm.apis.grounding_inferencer import GroundingInferencer

    torch.manual_seed(0)
    return GroundingInferencer(tiny_config, device='cpu')
