"""LLaVA-1.5-7B, frozen: https://huggingface.co/llava-hf/llava-1.5-7b-hf (in bf16, 14 GB)."""

from flmm.models.lmms import HFLMM, LMMProcessor
from flmm.models.lmms.image_processors import PadToSquareImageProcessor

lmm_path = 'llava-hf/llava-1.5-7b-hf'
# The vision tower in eager, as the release was trained: in bf16 SDPA differs from it by 3e-2.
lmm = dict(type=HFLMM, pretrained=lmm_path, dtype='bfloat16', vision_attention='eager')
lmm_processor = dict(
    type=LMMProcessor,
    tokenizer=lmm_path,
    image_processor=dict(type=PadToSquareImageProcessor, size=336, patch_size=14),
    chat_template='vicuna',
)
# Maps of a phrase: 1 grid x 32 layers x 32 heads.
num_maps = 1024
# The release asks with a sentence of its own; set yours to reproduce its checkpoints exactly.
prompt = '<image>\nDescribe this image.'
