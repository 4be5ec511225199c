"""What many tests share: tiny random models in the real file layouts, samples made by hand."""

import os

# No test may reach for the network; must be set before huggingface_hub is imported.
os.environ.setdefault('HF_HUB_OFFLINE', '1')
os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')

import numpy as np
import pytest
import torch
from hypothesis import settings
from mmengine.registry import DefaultScope
from PIL import Image

# On a busy machine the first example of a test may wait seconds for the processor.
settings.register_profile('flmm', deadline=None)
settings.load_profile('flmm')

#: Side of the image and of a cell of the tiny LLaVA, in pixels: a grid of 6 x 6.
IMAGE_SIDE, PATCH = 48, 8
_WORDS = """a red circle left of the blue square . two green triangles and a big yellow star
on the grass under a cloudy sky USER: Describe this image. ASSISTANT: what is there"""


@pytest.fixture(autouse=True)
def _flmm_scope():
    """A runner of an earlier test leaves its scope behind; names are looked up in ours."""
    with DefaultScope.overwrite_default_scope('flmm'):
        yield


@pytest.fixture(scope='session', autouse=True)
def _one_thread():
    """Tiny tensors gain nothing from threads, and busy machines lose by them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='session')
def tiny_tokenizer():
    """Byte-level BPE with LLaVA's special tokens: every text has tokens and offsets."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token='<unk>'))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=['<unk>', '<s>', '</s>', '<pad>', '<image>'],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_WORDS] * 4, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single='<s> $A', pair='<s> $A $B', special_tokens=[('<s>', 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token='<unk>',
        bos_token='<s>',
        eos_token='</s>',
        pad_token='<pad>',
        extra_special_tokens={'image_token': '<image>'},
    )


@pytest.fixture(scope='session')
def tiny_llava_config(tiny_tokenizer):
    """Config of a LLaVA-1.5 with 3 layers, 4 heads sharing 2 key heads, and 6 x 6 cells."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    return LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=IMAGE_SIDE,
            patch_size=PATCH,
            projection_dim=32,
        ),
        text_config=LlamaConfig(
            vocab_size=len(tiny_tokenizer),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            bos_token_id=tiny_tokenizer.bos_token_id,
            eos_token_id=tiny_tokenizer.eos_token_id,
            pad_token_id=tiny_tokenizer.pad_token_id,
        ),
        image_token_index=tiny_tokenizer.convert_tokens_to_ids('<image>'),
        image_seq_length=(IMAGE_SIDE // PATCH) ** 2,
        vision_feature_layer=-2,
        vision_feature_select_strategy='default',
    )


@pytest.fixture(scope='session')
def tiny_llava(tmp_path_factory, tiny_llava_config, tiny_tokenizer):
    """Folder of a random tiny LLaVA-1.5 as ``save_pretrained`` writes it."""
    from transformers import CLIPImageProcessor, LlavaForConditionalGeneration, LlavaProcessor

    folder = tmp_path_factory.mktemp('tiny_llava')
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlavaForConditionalGeneration(tiny_llava_config)
        for parameter in model.parameters():
            # The default 0.02 leaves attention all but uniform, which would hide mistakes.
            if parameter.dim() > 1:
                parameter.data.normal_(0, 0.25)
    model.save_pretrained(folder)
    size = {'height': IMAGE_SIDE, 'width': IMAGE_SIDE}
    LlavaProcessor(
        CLIPImageProcessor(size={'shortest_edge': IMAGE_SIDE}, crop_size=size),
        tiny_tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy='default',
        num_additional_image_tokens=1,
        image_token='<image>',
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope='session')
def tiny_collavo_config():
    """Makes the config of a CoLLaVO with 2 layers of 64 channels and a CLIP of 2 x 2 cells."""
    from transformers import CLIPVisionConfig

    from flmm.models.lmms.collavo import CoLLaVOConfig

    def make(text, **options):
        vision = CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=16,
            patch_size=8,
        )
        sizes = dict(
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            lora_rank=2,
        )
        return CoLLaVOConfig(
            text_config={**sizes, **text}, vision_config=vision.to_dict(), **options
        )

    return make


@pytest.fixture(scope='session')
def tiny_sam_config():
    """Sizes of a SAM for images of 64 pixels: embedding 4 x 4, masks 16 x 16, 32 channels."""
    return dict(
        vision_config=dict(
            hidden_size=16,
            output_channels=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=64,
            patch_size=16,
            window_size=2,
            global_attn_indexes=[1],
            mlp_dim=32,
            num_pos_feats=16,
        ),
        prompt_encoder_config=dict(hidden_size=32, image_size=64, patch_size=16),
        mask_decoder_config=dict(
            hidden_size=32, num_attention_heads=2, mlp_dim=32, iou_head_hidden_dim=32
        ),
    )


@pytest.fixture(scope='session')
def tiny_sam(tmp_path_factory, tiny_sam_config):
    """Folder of a random SAM of these sizes, with weights large enough that prompts count."""
    from transformers import SamConfig, SamModel

    folder = tmp_path_factory.mktemp('tiny_sam')
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SamModel(SamConfig(**tiny_sam_config))
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.data.normal_(0, 0.3)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope='session')
def tiny_processor(tiny_tokenizer):
    """The processor half of the tiny LLaVA."""
    from flmm.models.lmms import LMMProcessor, PadToSquareImageProcessor

    return LMMProcessor(
        tiny_tokenizer, PadToSquareImageProcessor(IMAGE_SIDE, PATCH), with_labels=True
    )


@pytest.fixture(scope='session')
def make_sample(tiny_processor):
    """Function that makes a prepared sample: noise image, the words given, square masks."""
    from flmm.datasets.transforms import PrepareLMMInputs, PrepareRefinerPixels
    from flmm.structures import GroundingSample, Phrase, TextPiece

    def make(
        phrases=('a red circle', 'the blue square'),
        glue=' and ',
        shape=(30, 40),
        seed=0,
        processor=tiny_processor,
        longer_side=64,
    ):
        rng = np.random.default_rng(seed)
        height, width = shape
        pieces = []
        for index, phrase in enumerate(phrases):
            pieces += [TextPiece(glue)] * bool(index) + [TextPiece(phrase, index)]
        masks = np.zeros((len(phrases), height, width), dtype=bool)
        for index in range(len(phrases)):
            top, left = 2 + 3 * index, 4 + 5 * index
            masks[index, top : top + height // 2, left : left + width // 2] = True
        sample = GroundingSample(
            f'sample/{seed}',
            image=Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)),
            ori_shape=shape,
            prompt='<image>\nDescribe this image.',
            pieces=pieces,
            phrases=[Phrase(text) for text in phrases],
            gt_masks=masks,
        )
        for step in (PrepareLMMInputs(processor), PrepareRefinerPixels(longer_side)):
            sample = step(sample)
        return sample

    return make
