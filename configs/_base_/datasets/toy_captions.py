"""What a tiny PixelLLM with a text model of its own learns on the toy world."""

from mmengine.config import read_base

from flmm.datasets.transforms import PrepareCaptions

with read_base():
    from ..pixel_llm.toy_parts import *
    from .toy_caption_tasks import *
    from .toy_caption_tasks import caption_tasks

train_parts, test_loaders = caption_tasks(
    dict(
        type=PrepareCaptions,
        tokenizer=tokenizer,
        image_size=image_size,
        max_tokens=128,
        **special_ids,
    ),
    image='Describe this image.',
    reference='Where is {text} ?',
    region='What is this ?',
)
del caption_tasks
