"""What a PixelLLM on the tiny LLaVA learns on the toy world, asked as the LLaVA was in training."""

from mmengine.config import read_base

from flmm.datasets.transforms import PrepareCaptions

with read_base():
    from ..pixel_llm.toy_lmm_parts import *
    from .toy_caption_tasks import *
    from .toy_caption_tasks import caption_tasks

train_parts, test_loaders = caption_tasks(
    dict(
        type=PrepareCaptions,
        tokenizer=tokenizer,
        image_size=image_size,
        max_tokens=128,
        centred=True,
        **special_ids,
    ),
    image='\nDescribe this image.',
    # An expression is part of a description: the request must not give it away.
    reference='\nDescribe this image.',
    region='\nWhat is this ?',
)
del caption_tasks
