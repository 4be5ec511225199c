"""A small tokenizer for the toy world's English, as a transformers fast tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from flmm.datasets.toy.dialogues import conversation
from flmm.datasets.toy.language import BOARD, square_name
from flmm.datasets.toy.scenes import sample_scene

SPECIAL_TOKENS = ('<unk>', '<s>', '</s>', '<pad>', '<image>')
_SPLIT = 4  # a split of its own: the tokenizer sees no scene of another one


def train_toy_tokenizer(seed: int = 0, scenes: int = 300) -> PreTrainedTokenizerFast:
    """Train the tokenizer on conversations about ``scenes`` scenes.

    Byte-pair merges until every frequent word is one token; bytes are the
    fallback, so any text can be tokenised and read back. A text starts with a
    space marker, as in Llama's tokenizers: pieces tokenised one by one give
    the ids of the pieces joined with spaces.

    Args:
        seed: Seed of the scenes.
        scenes: How many.

    Returns:
        Tokenizer with ``<s>`` put in front, and ``<image>`` as a special token.
    """
    return wrap_tokenizer(train_bpe(_corpus(seed, scenes)))


def _corpus(seed: int, scenes: int) -> Iterator[str]:
    squares = [square_name(r, c) for r in range(BOARD) for c in range(BOARD)]
    for index in range(scenes):
        rng = np.random.default_rng((seed, _SPLIT, index))
        turns = conversation(rng, sample_scene(seed, _SPLIT, index))
        for request, answer in turns:
            yield f'USER: \n{request} ASSISTANT: {answer}'
        yield ' '.join(squares)


def train_bpe(corpus: Iterable[str], vocab_size: int = 4000) -> Tokenizer:
    """Train byte-pair merges on a corpus and add the byte fallback."""
    draft = _pipeline(models.BPE(unk_token='<unk>'))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    draft.train_from_iterator(corpus, trainer)
    # Byte tokens go into the model's own vocabulary; as special tokens they
    # would be found in texts that spell them out.
    learned = draft.get_vocab()
    merges = [tuple(m) for m in _merges_of(draft)]
    words = sorted((w for w in learned if w not in SPECIAL_TOKENS), key=learned.get)
    vocab = {
        token: i
        for i, token in enumerate([*SPECIAL_TOKENS, *(f'<0x{b:02X}>' for b in range(256)), *words])
    }
    model = models.BPE(vocab=vocab, merges=merges, unk_token='<unk>', byte_fallback=True)
    tokenizer = _pipeline(model)
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in SPECIAL_TOKENS])
    return tokenizer


def _merges_of(tokenizer: Tokenizer) -> list:
    import json

    return json.loads(tokenizer.to_str())['model']['merges']


def _pipeline(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement='▁', prepend_scheme='first'),
            # A punctuation mark keeps the space before it: ' .' is one token.
            pre_tokenizers.Split(Regex(r'▁?[^\w\s▁]|\n'), behavior='isolated'),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace('▁', ' '),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(' ', 1, 0),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single='<s> $A', pair='<s> $A $B', special_tokens=[('<s>', 1)]
    )
    return tokenizer


def wrap_tokenizer(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """Give a tokenizer the names of its special tokens."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token='<unk>',
        bos_token='<s>',
        eos_token='</s>',
        pad_token='<pad>',
        extra_special_tokens={'image_token': '<image>'},
        padding_side='left',
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )
