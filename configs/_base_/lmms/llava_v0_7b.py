"""LLaVA v0 on Vicuna-7B v0 with CLIP ViT-L/14 at 224, on which GPT4RoI was trained.

``tools/convert_gpt4roi.py assemble`` makes the folder of Vicuna, CLIP and LLaVA's projector.
"""

from flmm.models.lmms import ConversationProcessor, HFLMM, LMMProcessor, SquashImageProcessor

lmm_path = 'checkpoints/llava_v0_7b'
lmm = dict(type=HFLMM, pretrained=lmm_path, dtype='bfloat16')
processor = dict(
    type=ConversationProcessor,
    processor=dict(
        type=LMMProcessor,
        tokenizer=lmm_path,
        image_processor=dict(
            type=SquashImageProcessor, size=224, patch_size=14, resize='cv2_bilinear'
        ),
        image_token='<im_patch>',
    ),
    template='vicuna_v0',
    region_token='<bbox>',
    image_format='<im_start>{image}<im_end>',
    max_length=2048,
)
# Of the 24 layers every third, up to the one that LLaVA reads.
levels = (-11, -8, -5, -2)
