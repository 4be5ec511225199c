"""The shipped tiny LLaVA as Pink's LMM: adapters in both parts, 12 mark tokens behind its words."""

from flmm.models.adapters import BottleneckAdapters, TokenRows
from flmm.models.lmms import DialogueProcessor, HFLMM
from flmm.models.lmms.added_words import tokenizer_with_words
from flmm.models.lmms.image_processors import PadToSquareImageProcessor
from flmm.utils.box_writers import BoardBoxes

lmm_path = 'checkpoints/tiny_llava'
lmm = dict(type=HFLMM, pretrained=lmm_path, dtype='float32')
# Words of relations that its tokenizer would spell byte by byte.
words = ['Object1', 'object2', 'object1:', 'object2:']
tokenizer = dict(type=tokenizer_with_words, tokenizer=lmm_path, words=words)
mark_tokens = [
    *('<des>', '</des>', '<loc>', '</loc>', '<rel>', '</rel>'),
    *('<cls>', '</cls>', '<qes>', '</qes>', '<opt>', '</opt>'),
]
token_rows = dict(
    type=TokenRows,
    count=len(words) + len(mark_tokens),
    vocab_size='append',
)
# Wider than the release's 8, as the network of 160 channels is narrow.
adapters = dict(
    language=dict(
        type=BottleneckAdapters,
        part='language',
        places=['attention', 'mlp'],
        hidden=128,
        dropout=0.0,
        non_linear=True,
    ),
    # In the tower every patch sees all others: what a patch is one of several of can be told there.
    vision=dict(
        type=BottleneckAdapters,
        part='vision',
        places=['attention', 'mlp'],
        hidden=64,
        dropout=0.0,
        non_linear=True,
        skip_last=1,
    ),
)
# Squares of a board, which the tiny LLaVA knows; decimals it does not.
dialect = dict(type=BoardBoxes)
dialogue_processor = dict(
    type=DialogueProcessor,
    tokenizer=tokenizer,
    image_processor=dict(type=PadToSquareImageProcessor, size=96, patch_size=8),
    template='llava_apart',
    image_token='<image>',
    extra_tokens=mark_tokens,
)
