"""Parts of PixelLLM as released (arXiv 2312.09237), but its text models."""

from flmm.models.box_heads import DenseBoxHead
from flmm.models.image_encoders import EVA02Encoder, SAMImageEncoder
from flmm.models.prompt_encoders import LocationPromptEncoder, PromptFeatureExtractor

image_size = 384
# EVA-02-L/14 trains, SAM's ViT-H is frozen; 1024 + 256 channels together.
vision = dict(
    image_encoders=[
        dict(type=EVA02Encoder, image_size=image_size),
        dict(type=SAMImageEncoder, image_size=image_size),
    ],
    prompt_encoder=dict(type=LocationPromptEncoder, channels=256),
    prompt_extractor=dict(
        type=PromptFeatureExtractor,
        image_channels=1280,
        prompt_channels=256,
        channels=512,
        num_outputs=32,
        out_channels=1024,
        depth=6,
    ),
    sam='checkpoints/sam_vit_h_4b8939.pth',
)
# CenterNet2 with one class; the captions' own 32 detections in joint training.
box_head = dict(type=DenseBoxHead, pyramid=dict(in_channels=1280))
adapter_sizes = dict(visual_channels=1024)
