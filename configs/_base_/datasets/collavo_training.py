"""What CoLLaVO's two steps are trained on, in the real files; leaves add LMM and pipeline.

Step 1: questions about objects, made of COCO's panoptic labels. Step 2: those and a mix of
instructions: ShareGPT4V's, or LLaVA-1.5's 665k, whose images lie below ``data/llava`` as their
releases say (``coco/train2017``, ``gqa/images``, ``ocr_vqa/images``, ``textvqa/train_images``,
``vg``, ``sam/images``, ``share_textvqa/images``, ``web-celebrity/images``, ...). Which questions
there are, how many, and the shares of step 2 are our choice: the release has no training.
"""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler

from flmm.datasets import (
    LLaVAInstructDataset,
    Mixture,
    PanopticQuestionsDataset,
    grounding_collate,
)
from flmm.datasets.transforms import LoadImage, NameImage, WriteTurns
from flmm.utils.box_writers import CrayonBoxes

with read_base():
    from .crayon_pipeline import *

coco_root, mix_root = 'data/coco', 'data/llava'
panoptic_questions = dict(
    type=PanopticQuestionsDataset,
    ann_file=f'{coco_root}/annotations/panoptic_train2017.json',
    image_root=f'{coco_root}/train2017',
)
mixes = dict(
    sharegpt4v=dict(
        type=LLaVAInstructDataset,
        ann_file=f'{mix_root}/sharegpt4v_mix665k_cap23k_coco-ap9k_lcs3k_sam9k_div2k.json',
        image_root=mix_root,
        trim=True,
        name='sharegpt4v',
    ),
    llava_665k=dict(
        type=LLaVAInstructDataset,
        ann_file=f'{mix_root}/llava_v1_5_mix665k.json',
        image_root=mix_root,
        trim=True,
        name='llava_665k',
    ),
)
# Instructions may be talk without an image; conversations get their image in front.
load_image = dict(type=LoadImage, optional=True)
write_turns = dict(type=WriteTurns, marks=False, dialect=dict(type=CrayonBoxes))
name_image = dict(type=NameImage)
before_reading = [load_image, load_panoptic, write_turns, describe_segments, name_image]
# Benchmarks name the image in their questions.
before_question = [load_image, load_panoptic, describe_segments]
# Another mix: dict(step_2_mixture, datasets=dict(panoptic=..., llava_665k=mixes['llava_665k'])).
step_2_mixture = dict(
    type=Mixture, datasets=dict(panoptic=panoptic_questions, sharegpt4v=mixes['sharegpt4v'])
)
train_loader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type=grounding_collate),
    sampler=dict(type=DefaultSampler, shuffle=True),
)
