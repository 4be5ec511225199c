"""The shipped tiny LLaVA as Pink's LMM: adapters in both parts, 12 mark tokens behind its words."""

from flmm.models.adapters import BottleneckAdapters, TokenRows
from flmm.models.lmms import DialogueProcessor, HFLMM
from flmm.models.lmms.image_processors import PadToSquareImageProcessor

lmm_path = 'checkpoints/tiny_llava'
lmm = dict(type=HFLMM, pretrained=lmm_path, dtype='float32')
tokenizer = lmm_path
mark_tokens = [
    *('<des>', '</des>', '<loc>', '</loc>', '<rel>', '</rel>'),
    *('<cls>', '</cls>', '<qes>', '</qes>', '<opt>', '</opt>'),
]
# Real language models know digits; this one has never read any, nor the words of relations.
token_rows = dict(
    type=TokenRows,
    count=12,
    vocab_size='append',
    texts=['[0.123,0.456,0.789,1.000]', 'Object1 object2 object1: object2:'],
)
# Wider than the release's 8: they change a network of 160 channels that was never told of numbers.
adapters = dict(
    language=dict(
        type=BottleneckAdapters,
        part='language',
        places=['attention', 'mlp'],
        hidden=128,
        dropout=0.0,
        non_linear=True,
    ),
    vision=dict(type=BottleneckAdapters, part='vision', hidden=32, dropout=0.0, skip_last=1),
)
# The tiny LLaVA sees images padded to a square, so coordinates are shares of that square.
dialect = 'normalised_square'
dialogue_processor = dict(
    type=DialogueProcessor,
    tokenizer=tokenizer,
    image_processor=dict(type=PadToSquareImageProcessor, size=96, patch_size=8),
    template='llava',
    image_token='<image>',
    extra_tokens=mark_tokens,
)
