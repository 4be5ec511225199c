"""The shipped tiny LLaVA that knows the toy world (checkpoints/tiny_llava/README.md)."""

from flmm.models.lmms import HFLMM, LMMProcessor
from flmm.models.lmms.image_processors import PadToSquareImageProcessor

lmm_path = 'checkpoints/tiny_llava'
lmm = dict(type=HFLMM, pretrained=lmm_path, dtype='float32')
lmm_processor = dict(
    type=LMMProcessor,
    tokenizer=lmm_path,
    image_processor=dict(type=PadToSquareImageProcessor, size=96, patch_size=8),
    chat_template='vicuna',
)
# Maps of a phrase: 1 grid x layers x heads.
num_maps = 40
prompt = '<image>\nDescribe this image.'
