"""A folder that transformers loads: of GPT4RoI's release, or of what its training starts from."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor
from transformers import AddedToken, PreTrainedTokenizerFast

from flmm.models.lmms.llava_v0 import LlavaV0Config
from flmm.models.lmms.sentencepiece_tokenizer import load_sentencepiece_tokenizer
from flmm.utils.errors import CheckpointError
from flmm.utils.safe_io import load_json
from flmm.utils.weight_writer import LaterTensor

from .delta_weights import Shards, read_weights, to_flmm, tokens_of, write_lmm

#: GPT4RoI's tokens in the order of their ids.
TOKENS = ('[PAD]', '<im_patch>', '<bbox>', '<point>', '<im_start>', '<im_end>')
_VOCABULARY = ('model.embed_tokens.weight', 'lm_head.weight')
_LLAMA = (
    'hidden_size',
    'intermediate_size',
    'num_hidden_layers',
    'num_attention_heads',
    'max_position_embeddings',
    'rms_norm_eps',
    'vocab_size',
    'bos_token_id',
    'eos_token_id',
)
_CLIP = (
    'hidden_size',
    'intermediate_size',
    'num_hidden_layers',
    'num_attention_heads',
    'image_size',
    'patch_size',
    'hidden_act',
    'layer_norm_eps',
)


def write_llava_v0(
    model: str | os.PathLike, vision: str | os.PathLike, out: str | os.PathLike
) -> tuple[int, int]:
    """Write weights, config and tokenizer.

    Args:
        model: GPT4RoI's whole model under official names, with ``config.json``,
            ``tokenizer.model`` and ``added_tokens.json``.
        vision: CLIP ViT-L/14, with ``config.json``.
        out: Folder to write.

    Returns:
        How many weights the LMM has, and how many the region extractor.

    Raises:
        CheckpointError: A file lacks what is needed.
    """
    model, vision, out = Path(model), Path(vision), Path(out)
    ids = tokens_of(model)
    config = _config(model, vision, ids['<im_patch>'])
    tokenizer = _read_tokenizer(model)
    _add_tokens(tokenizer, load_json(model / 'added_tokens.json'), model)
    counts = to_flmm(model, vision, out)
    config.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return counts


def assemble_llava_v0(
    model: str | os.PathLike,
    projector: str | os.PathLike,
    vision: str | os.PathLike,
    out: str | os.PathLike,
) -> int:
    """Write what stage 1 of GPT4RoI starts from: Vicuna with GPT4RoI's tokens, CLIP, a projector.

    Rows of new tokens, in the embeddings and in the head, are the mean of the old ones. Those of
    ``<im_start>`` and ``<im_end>`` in the embeddings are the last two of the projector's file,
    where it has some (LLaVA's of April 2023 do).

    Args:
        model: Vicuna, with ``config.json``, ``tokenizer.model``, and ``added_tokens.json`` if it
            has tokens of its own.
        projector: LLaVA's file of the projector after its first training stage.
        vision: CLIP ViT-L/14, with ``config.json``.
        out: Folder to write.

    Returns:
        How many weights were written.

    Raises:
        CheckpointError: A file lacks what is needed, or is of another size.
    """
    model, vision, out = Path(model), Path(vision), Path(out)
    shards = Shards(model)
    missing = [name for name in _VOCABULARY if name not in shards]
    if missing:
        raise CheckpointError(model, f'lacks {", ".join(missing)}.', fix='Is it a Vicuna?')
    if any('spi_module.' in name for name in shards.file_of):
        raise CheckpointError(
            model,
            'has a region extractor already: it is a GPT4RoI.',
            fix='For a finished model there is the verb to-flmm.',
        )
    added_file = model / 'added_tokens.json'
    added = dict(load_json(added_file)) if added_file.is_file() else {}
    old = len(shards[_VOCABULARY[0]])
    new = [token for token in TOKENS if token not in added]
    tokenizer = _read_tokenizer(model)
    # After the last token, not the last row: there may be more rows than tokens.
    first = max([tokenizer.vocab_size, *(number + 1 for number in added.values())])
    added |= {token: first + index for index, token in enumerate(new)}
    rows = max(old, first + len(new))
    config = _config(model, vision, added['<im_patch>'], vocab_size=rows)
    sizes = config.text_config.hidden_size, config.vision_config.hidden_size
    weights, marks = _read_projector(projector, sizes)
    _add_tokens(tokenizer, added, model)

    def grown(name: str, value: Tensor) -> Tensor | LaterTensor:
        if name not in _VOCABULARY:
            return value
        known = {} if name != _VOCABULARY[0] else {added[t]: row for t, row in marks.items()}
        places = {added[token]: known.get(added[token]) for token in new}
        shape = (rows, *value.shape[1:])
        return LaterTensor(shape, value.dtype, lambda: _with_rows(value, first, shape, places))

    dtype = shards[_VOCABULARY[0]].dtype
    further = {name: value.to(dtype) for name, value in weights.items()}
    count, _ = write_lmm(shards, Shards(vision), out, grown, further)
    config.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return count


def _with_rows(
    value: Tensor, tokens: int, shape: tuple[int, ...], places: Mapping[int, Tensor | None]
) -> Tensor:
    """A vocabulary's weight with rows for new tokens: what is known of them, or the old mean."""
    mean = value[:tokens].float().mean(0).to(value.dtype)
    result = mean.expand(shape).clone()
    result[: len(value)] = value
    for place, row in places.items():
        result[place] = mean if row is None else row
    return result


def _read_projector(
    path: str | os.PathLike, sizes: tuple[int, int]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights of the projector, and rows of ``<im_start>`` and ``<im_end>`` where it has them."""
    content = read_weights(path)
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(path, 'holds no weights by name.')
    content = {f'model.{name.removeprefix("model.")}': value for name, value in content.items()}
    names = ('model.mm_projector.weight', 'model.mm_projector.bias')
    found = {name: tuple(content[name].shape) for name in names if name in content}
    wanted = {names[0]: sizes, names[1]: sizes[:1]}
    if found != wanted:
        raise CheckpointError(
            path,
            f'expected {wanted}, found {found or sorted(content)[:3]}.',
            fix='It is the linear projector of the LLaVA of April 2023 for this Vicuna.',
        )
    rows = content.get(_VOCABULARY[0])
    if rows is None:
        return {name: content[name] for name in names}, {}
    if rows.ndim != 2 or len(rows) < 2 or rows.shape[1] != sizes[0]:
        raise CheckpointError(path, f'has shape {tuple(rows.shape)}.', key=_VOCABULARY[0])
    return {name: content[name] for name in names}, {'<im_start>': rows[-2], '<im_end>': rows[-1]}


def _config(model: Path, vision: Path, image_token: int, **changes: int) -> LlavaV0Config:
    llama, clip = load_json(model / 'config.json'), load_json(vision / 'config.json')
    clip = clip.get('vision_config', clip)
    return LlavaV0Config(
        vision_config=_fields(vision, clip, _CLIP, 'clip_vision_model'),
        text_config=_fields(model, llama, _LLAMA, 'llama') | changes,
        image_token_index=image_token,
        vision_feature_layer=llama.get('mm_vision_select_layer', -2),
        vision_feature_select_strategy='default',
        tie_word_embeddings=False,
        architectures=['LlavaV0ForConditionalGeneration'],
    )


def _fields(folder: Path, config: dict, names: tuple[str, ...], kind: str) -> dict:
    found = {name: config[name] for name in names if name in config}
    if 'hidden_size' not in found:
        raise CheckpointError(folder / 'config.json', 'has no hidden_size.')
    if kind == 'clip_vision_model':
        # Old configs leave out what was CLIP's default.
        found = {'hidden_act': 'quick_gelu', **found}
    return {'model_type': kind, **found}


def _read_tokenizer(model: Path) -> PreTrainedTokenizerFast:
    if not (model / 'tokenizer.model').is_file():
        raise CheckpointError(model, 'has no tokenizer.model.')
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(model / 'tokenizer.model', Path(folder) / 'tokenizer.model')
        return load_sentencepiece_tokenizer(folder)


def _add_tokens(tokenizer: PreTrainedTokenizerFast, added: Mapping[str, int], model: Path) -> None:
    for token, number in sorted(added.items(), key=lambda item: item[1]):
        # GPT4RoI's slow tokenizer took the white space around its tokens.
        marks = AddedToken(token, lstrip=True, rstrip=True, special=True, normalized=False)
        tokenizer.add_tokens([marks], special_tokens=True)
        if tokenizer.convert_tokens_to_ids(token) != number:
            raise CheckpointError(
                model / 'added_tokens.json',
                f'gives {token} the id {number}, but it would get '
                f'{tokenizer.convert_tokens_to_ids(token)}.',
            )
