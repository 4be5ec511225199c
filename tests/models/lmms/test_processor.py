from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flmm.models.lmms.image_processors import AnyResImageProcessor, PadToSquareImageProcessor
from flmm.models.lmms.processor import LMMProcessor, build_tokenizer
from flmm.structures import GroundingSample, TextPiece

DATA = Path(__file__).parents[2] / 'data' / 'f_lmm_data'
PIECES = [
    TextPiece('two dogs', 0),
    TextPiece('and'),
    TextPiece('a man', 1),
    TextPiece('.'),
]


@pytest.fixture(scope='module')
def tokenizer():
    return build_tokenizer(str(DATA / 'tok_llama_image'))


@pytest.fixture
def processor(tokenizer):
    return LMMProcessor(tokenizer, dict(type=PadToSquareImageProcessor, size=28, patch_size=14))


def sample(**fields):
    image = Image.new('RGB', (40, 20))
    defaults = dict(image=image, prompt='<image>\nGo.', pieces=PIECES)
    return GroundingSample('s', **(defaults | fields))


def test_the_image_token_becomes_one_id_per_cell(processor):
    prompt_ids = processor.prompt_ids('<image>\nGo.')
    assert prompt_ids.count(processor.image_token_id) == 1
    inputs = processor(sample())
    (grid,) = inputs.grids
    assert grid.shape == (2, 2)
    first = prompt_ids.index(processor.image_token_id)
    assert grid.positions.flatten().tolist() == [first, first + 1, first + 2, first + 3]
    assert (inputs.input_ids[grid.positions] == processor.image_token_id).all()
    assert inputs.image_shape == (20, 40) and inputs.resized_shape == (14, 28)
    assert grid.box_xyxy == (0, -10, 40, 30)
    text = processor.text_ids(PIECES)[0]
    assert inputs.input_ids.tolist()[-len(text) :] == text
    assert len(inputs.input_ids) == len(prompt_ids) + 3 + len(text)


def test_pieces_are_tokenised_one_by_one_without_special_tokens(processor, tokenizer):
    ids, phrases = processor.text_ids(PIECES)
    alone = [tokenizer(piece.text, add_special_tokens=False)['input_ids'] for piece in PIECES]
    assert ids == sum(alone, [])
    assert phrases == [piece.phrase for piece, own in zip(PIECES, alone, strict=True) for _ in own]


def test_a_separator_is_the_last_token_of_its_text(processor, tokenizer):
    whole = tokenizer('.', add_special_tokens=False)['input_ids']
    assert len(whole) == 2  # SentencePiece puts a word start before it
    assert processor.text_ids([TextPiece('.', separator=True)])[0] == whole[-1:]


def test_several_image_tokens_in_a_row_stand_for_one_image(processor):
    once, thrice = (processor(sample(prompt='<image>' * n + '\nGo.')) for n in (1, 3))
    assert once.input_ids.tolist() == thrice.input_ids.tolist()


def test_newline_tokens_are_in_the_sequence_but_in_no_grid(tokenizer):
    anyres = AnyResImageProcessor(28, 14, ((28, 56), (56, 56)))
    inputs = LMMProcessor(tokenizer, anyres)(sample())
    visual = int((inputs.input_ids == tokenizer.convert_tokens_to_ids('<image>')).sum())
    cells = sum(grid.positions.numel() for grid in inputs.grids)
    rows = inputs.grids[1].shape[0]
    assert visual == cells + rows


def test_labels_are_the_text_alone(tokenizer):
    processor = LMMProcessor(
        tokenizer, PadToSquareImageProcessor(28), with_labels=True, add_eos=True
    )
    inputs = processor(sample())
    text = [*processor.text_ids(PIECES)[0], tokenizer.eos_token_id]
    assert inputs.labels[-len(text) :].tolist() == text
    assert (inputs.labels[: -len(text)] == -100).all()
    assert inputs.phrase_ids[-1] == -1


def test_a_text_too_long_loses_its_end(tokenizer):
    image = PadToSquareImageProcessor(28)
    whole = LMMProcessor(tokenizer, image)(sample())
    length = int((whole.phrase_ids == 1).nonzero()[0, 0])
    cut = LMMProcessor(tokenizer, image, max_length=length)(sample())
    assert cut.input_ids.tolist() == whole.input_ids[:length].tolist()
    assert cut.phrase_indices == (0,)
    with pytest.raises(ValueError, match='max_length'):
        LMMProcessor(tokenizer, image, max_length=5)(sample())


def test_special_tokens_spelled_out_in_the_text_are_text(processor, tokenizer):
    ids, _ = processor.text_ids([TextPiece('a <image> </s> <pad>')])
    assert not set(ids) & set(tokenizer.all_special_ids)
    ids, _ = processor.text_ids([TextPiece('a <image>', 0)], joint=True)
    assert processor.image_token_id not in ids


def test_prompt_and_image_must_fit(processor):
    with pytest.raises(ValueError, match='does not name'):
        processor(sample(prompt='Go.'))
    with pytest.raises(ValueError, match='none loaded'):
        processor(sample(image=None))
    with pytest.raises(ValueError, match='several'):
        processor(sample(prompt='<image> and <image>'))
    text_only = processor(sample(image=None, prompt='Go.'))
    assert text_only.grids == () and text_only.tensors == {}


def test_a_prompt_alone_can_be_prepared_for_generation(processor):
    inputs = processor(sample(pieces=[]))
    assert inputs.phrase_indices == () and inputs.input_ids.dtype == torch.int64


def test_a_missing_image_token_is_named_or_added():
    plain = build_tokenizer(str(DATA / 'tok_llama_plain'))
    with pytest.raises(ValueError, match='add_image_token'):
        LMMProcessor(plain, PadToSquareImageProcessor(28))
    processor = LMMProcessor(
        plain, PadToSquareImageProcessor(28), add_image_token=True, image_token_id=-200
    )
    assert (processor(sample()).input_ids == -200).sum() == 4


def test_another_lmms_image_token_stands_for_the_neutral_one():
    processor = LMMProcessor(
        str(DATA / 'tok_bytelevel'),
        PadToSquareImageProcessor(28),
        chat_template='deepseek',
        image_token='<image_placeholder>',
    )
    assert (processor(sample()).input_ids == processor.image_token_id).sum() == 4


@pytest.mark.parametrize('name', ['tok_llama_image', 'tok_bytelevel'])
def test_joint_tokens_cover_each_phrase(name):
    tokenizer = build_tokenizer(str(DATA / name))
    processor = LMMProcessor(
        tokenizer,
        PadToSquareImageProcessor(28),
        image_token='<image>' if 'image' in name else '<image_placeholder>',
    )

    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(st.text('ab dogman.,é☃\n', min_size=1, max_size=8), st.booleans()),
            max_size=6,
        )
    )
    def check(chunks):
        pieces, count = [], 0
        for text, is_phrase in chunks:
            pieces.append(TextPiece(text, count if is_phrase else -1))
            count += is_phrase
        ids, phrases = processor.text_ids(pieces, joint=True)
        joined = ''.join(text for text, _ in chunks)
        assert ids == tokenizer(joined, add_special_tokens=False)['input_ids']
        assert len(phrases) == len(ids)
        assert set(phrases) <= {-1, *range(count)}
        # Phrases with blanks around them share no token with a neighbour.
        spaced = [TextPiece(piece.text.strip(), piece.phrase) for piece in pieces]
        spaced = [p for piece in spaced for p in (TextPiece(' '), piece, TextPiece(' '))]
        _, phrases = processor.text_ids(spaced, joint=True)
        visible = {piece.phrase for piece in spaced if piece.text.strip()} - {-1}
        assert visible <= set(phrases)

    check()


def test_joint_tokens_of_a_sentence_are_those_of_its_words():
    processor = LMMProcessor(
        str(DATA / 'tok_bytelevel'),
        PadToSquareImageProcessor(28),
        image_token='<image_placeholder>',
    )
    pieces = [TextPiece('two dogs', 0), TextPiece(' and '), TextPiece('a man', 1), TextPiece('.')]
    ids, phrases = processor.text_ids(pieces, joint=True)
    words = [processor.tokenizer.decode([i]) for i in ids]
    assert ''.join(words) == 'two dogs and a man.'
    for index, text in ((0, 'two dogs'), (1, 'a man')):
        own = [word for word, phrase in zip(words, phrases, strict=True) if phrase == index]
        assert ''.join(own).strip() == text
