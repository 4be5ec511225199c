"""Parts of a tiny PixelLLM for the toy world: the tiny LLaVA's tower, the tiny SAM, a small GIT."""

from flmm.models.box_heads import DenseBoxHead
from flmm.models.image_encoders import CLIPTowerEncoder, SAMImageEncoder
from flmm.models.mask_heads import PromptedMaskHead
from flmm.models.point_heads import MLPPointHead
from flmm.models.prompt_encoders import (
    LocationPromptEncoder,
    MaskPromptAdapter,
    PromptFeatureExtractor,
)
from flmm.models.text_decoders import PrefixTextDecoder

tokenizer = 'checkpoints/tiny_llava'
sam = 'checkpoints/tiny_sam'
# Ids of the tiny LLaVA's tokenizer.
special_ids = dict(begin_id=1, end_id=2, pad_id=3)
image_size = 128
_sam_sizes = dict(
    hidden_size=96,
    output_channels=96,
    num_hidden_layers=4,
    num_attention_heads=4,
    mlp_dim=384,
    patch_size=8,
    num_pos_feats=48,
    global_attn_indexes=[1, 3],
)
parts = dict(
    # The tower's 128 channels and SAM's 96.
    image_encoders=[
        dict(type=CLIPTowerEncoder, pretrained='checkpoints/tiny_llava'),
        dict(type=SAMImageEncoder, image_size=image_size, config=_sam_sizes),
    ],
    prompt_encoder=dict(type=LocationPromptEncoder, channels=96),
    prompt_extractor=dict(
        type=PromptFeatureExtractor,
        image_channels=224,
        prompt_channels=96,
        channels=128,
        num_outputs=32,
        out_channels=128,
        depth=2,
        num_heads=4,
    ),
    text_decoder=dict(
        type=PrefixTextDecoder,
        # More than the tokenizer has.
        vocab_size=1024,
        visual_channels=128,
        channels=192,
        num_layers=4,
        num_heads=6,
        max_length=128,
        dropout=0.0,
        **special_ids,
    ),
    tokenizer=tokenizer,
    sam=sam,
)
point_head = dict(type=MLPPointHead, in_channels=192, hidden_channels=256)
box_head = dict(
    type=DenseBoxHead,
    pyramid=dict(in_channels=224, out_channels=96, factors=(2.0, 1.0), num_top_levels=1),
    proposals=dict(
        strides=(4, 8, 16), ranges=((0, 24), (16, 48), (32, 1000)), channels=96, num_layers=2
    ),
    roi=dict(channels=(128,), crop=7, strides=(4, 8, 16)),
    train_counts=(200, 64),
    test_counts=(200, 64),
    max_detections=20,
)
mask_head = dict(
    type=PromptedMaskHead,
    adapter=dict(
        type=MaskPromptAdapter, visual_channels=128, text_channels=192, channels=96, num_heads=4
    ),
    decoder=dict(hidden_size=96, num_attention_heads=4, mlp_dim=192, iou_head_hidden_dim=96),
)
del _sam_sizes
