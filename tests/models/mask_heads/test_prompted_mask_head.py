import torch
from transformers import SamModel

from flmm.models.image_encoders import SAMImageEncoder, load_sam
from flmm.models.mask_heads import PromptedMaskHead
from flmm.models.prompt_encoders import LocationPromptEncoder

DECODER = dict(hidden_size=32, num_attention_heads=2, mlp_dim=32, iou_head_hidden_dim=32)
ADAPTER = dict(
    type='MaskPromptAdapter', visual_channels=6, text_channels=5, channels=32, num_heads=2
)
VISION = dict(
    hidden_size=16,
    output_channels=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    patch_size=16,
    window_size=2,
    global_attn_indexes=[1],
    mlp_dim=32,
    num_pos_feats=16,
)


def parts(folder, adapter=None):
    encoder = SAMImageEncoder(image_size=64, config=VISION).eval()
    prompts = LocationPromptEncoder(channels=32)
    head = PromptedMaskHead(adapter, DECODER).eval()
    load_sam(str(folder), encoder, prompts, head.decoder)
    return encoder, prompts, head


def test_without_an_adapter_it_is_sam_with_a_box(tiny_sam):
    encoder, prompts, head = parts(tiny_sam)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255
    boxes = torch.tensor([[[4.0, 6, 30, 40], [0, 0, 64, 64]], [[10, 10, 20, 20], [5, 5, 60, 9]]])
    with torch.no_grad():
        features = encoder(images)
        masks, ious = head(
            features, boxes, torch.zeros(2, 2, 3, 6), torch.zeros(2, 2, 4, 5), prompts, (64, 64)
        )
        sam = SamModel.from_pretrained(tiny_sam).eval()
        want = sam(
            image_embeddings=features.permute(0, 3, 1, 2), input_boxes=boxes, multimask_output=False
        )
    assert masks.shape == (2, 2, 1, 16, 16)
    assert torch.allclose(masks, want.pred_masks, atol=1e-4)
    assert torch.allclose(ious, want.iou_scores, atol=1e-4)


def test_the_adapter_starts_without_effect_and_alone_trains(tiny_sam):
    _, prompts, plain = parts(tiny_sam)
    _, _, head = parts(tiny_sam, ADAPTER)
    trained = [name for name, p in head.named_parameters() if p.requires_grad]
    assert trained and all(name.startswith('adapter') for name in trained)
    features = torch.randn(1, 4, 4, 32, generator=torch.Generator().manual_seed(0))
    rest = (
        torch.tensor([[[4.0, 6, 30, 40]]]),
        torch.randn(1, 1, 3, 6),
        torch.randn(1, 1, 4, 5),
        prompts,
        (64, 64),
    )
    masks, _ = head(features, *rest)
    assert torch.allclose(masks, plain(features, *rest)[0], atol=1e-5)
    masks.sum().backward()
    assert head.adapter.gate.grad.abs().sum() > 0
