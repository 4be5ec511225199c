"""Released weight differences (``model - base``) added and taken, a piece of a weight at a time."""

from __future__ import annotations

import itertools
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from flmm.models.official_gpt4roi_keys import gpt4roi_key
from flmm.utils.errors import CheckpointError
from flmm.utils.safe_io import load_json, write_json
from flmm.utils.tensor_io import load_safetensors_file, load_torch_file
from flmm.utils.weight_writer import LaterTensor, write_safetensors

_INDICES = ('model.safetensors.index.json', 'pytorch_model.bin.index.json')
_SINGLES = ('model.safetensors', 'pytorch_model.bin')


#: Numbers of a weight that are added at a time, in float32.
_PIECE = 2**20


class Shards:
    """The weights of a folder, of which one file at a time is open.

    Files are mapped, not read: memory is what is computed from them. Only the format that
    ``torch.save`` wrote before version 1.6 is read whole.

    Args:
        folder: With ``model.safetensors``, ``pytorch_model.bin``, or an index and its parts.

    Raises:
        CheckpointError: It holds none of them, or an index names a file elsewhere.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)
        self._loaded: tuple[str, dict[str, Tensor]] = ('', {})
        for name in _INDICES:
            if (self.folder / name).is_file():
                self.file_of: dict[str, str] = dict(load_json(self.folder / name)['weight_map'])
                break
        else:
            found = [name for name in _SINGLES if (self.folder / name).is_file()]
            if not found:
                raise CheckpointError(
                    folder,
                    'holds no weights.',
                    fix=f'Expected one of {", ".join((*_SINGLES, *_INDICES))}.',
                )
            self.file_of = dict.fromkeys(self._read(found[0]), found[0])
        bad = {name for name in self.file_of.values() if Path(name).name != name}
        if bad:
            raise CheckpointError(
                folder, f'its index names {sorted(bad)[0]!r}, no plain file name.'
            )

    def __contains__(self, name: str) -> bool:
        """Whether there is a weight of this name."""
        return name in self.file_of

    def __getitem__(self, name: str) -> Tensor:
        """One weight; its file stays open until a weight of another one is asked for."""
        return self._read(self.file_of[name])[name]

    def parts(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Each file's name and weights, one after the other."""
        for name in dict.fromkeys(self.file_of.values()):
            yield name, self._read(name)

    def _read(self, name: str) -> dict[str, Tensor]:
        if self._loaded[0] != name:
            self._loaded = ('', {})  # let go of the last one first
            self._loaded = (name, read_weights(self.folder / name))
        return self._loaded[1]


def read_weights(path: str | os.PathLike) -> dict[str, Tensor]:
    """Map one file of weights, a ``.safetensors`` or one of ``torch.save``."""
    path = Path(path)
    if path.suffix == '.safetensors':
        return load_safetensors_file(path)
    return load_torch_file(path, mmap=path.is_file() and zipfile.is_zipfile(path))


def apply_delta(base: str | os.PathLike, delta: str | os.PathLike, out: str | os.PathLike) -> int:
    """Write ``base + delta`` in the layout of the delta.

    Vocabularies may have grown: where the delta's weight has more rows than the base's, the base
    is added to the first ones. Weights that the base lacks are taken as they are.

    Args:
        base: Folder of the base model (LLaMA).
        delta: Folder of the difference (``GPT4RoI-7B-delta-V0``).
        out: Folder to write, as safetensors shards with an index.

    Returns:
        How many weights were added to.

    Raises:
        CheckpointError: A weight has another shape than the base's, beyond more rows; or the
            base has weights that the delta lacks.
    """
    return _combine(Shards(base), Shards(delta), Path(out), sign=1)


def make_delta(base: str | os.PathLike, target: str | os.PathLike, out: str | os.PathLike) -> int:
    """Write ``target - base``; the reverse of :func:`apply_delta`.

    Args:
        base: Folder of the base model.
        target: Folder of the trained one.
        out: Folder to write.

    Returns:
        How many weights were subtracted from.
    """
    return _combine(Shards(base), Shards(target), Path(out), sign=-1)


def _combine(base: Shards, other: Shards, out: Path, sign: int) -> int:
    lost = sorted(
        name for name in base.file_of if name not in other and 'rotary_emb.inv_freq' not in name
    )
    if lost:
        raise CheckpointError(
            other.folder,
            f'lacks {len(lost)} weights of the base: {lost[:3]}.',
            fix='Do base and delta belong together?',
        )
    count = 0

    def combined(name: str, value: Tensor) -> Tensor | LaterTensor:
        nonlocal count
        if name not in base or not value.is_floating_point():
            return value
        count += 1
        return LaterTensor(value.shape, value.dtype, lambda: added(name, value))

    def added(name: str, value: Tensor) -> Tensor:
        own, rows = torch.atleast_1d(base[name]), torch.atleast_1d(value)
        if own.shape[1:] != rows.shape[1:] or len(own) > len(rows):
            raise CheckpointError(
                other.folder,
                f'has shape {tuple(value.shape)}, the base {tuple(base[name].shape)}.',
                key=name,
            )
        result = rows.clone()
        step = max(_PIECE // max(own[:1].numel(), 1), 1)
        for start in range(0, len(own), step):
            piece = slice(start, min(start + step, len(own)))
            # Half precision would round twice.
            result[piece] = (rows[piece].float() + sign * own[piece].float()).to(value.dtype)
        return result.reshape(value.shape)

    _write_shards(other, out, combined)
    for path in sorted(other.folder.glob('*')):
        if path.suffix in {'.json', '.model'} and not path.name.endswith('.index.json'):
            (out / path.name).write_bytes(path.read_bytes())
    return count


def to_flmm(
    model: str | os.PathLike, vision: str | os.PathLike, out: str | os.PathLike
) -> tuple[int, int]:
    """Split GPT4RoI's weights into an LMM that flmm loads and its region extractor.

    Args:
        model: Folder of the whole model (what :func:`apply_delta` wrote), under official names.
        vision: Folder of ``clip-vit-large-patch14``; the release does not ship its tower.
        out: Folder to write: shards of the LMM, and ``roi_extractor.safetensors``, the training
            state to name in ``tools/test.py``. ``config.json`` and tokenizer are written by
            ``tools/convert_gpt4roi.py``.

    Returns:
        How many weights went to the LMM, and how many to the extractor.
    """
    out = Path(out)
    count, extractor = write_lmm(Shards(model), Shards(vision), out)
    write_safetensors(out / 'roi_extractor.safetensors', extractor)
    return count, len(extractor)


def write_lmm(
    model: Shards,
    vision: Shards,
    out: Path,
    change: Callable[[str, Tensor], Tensor | LaterTensor] = lambda _, value: value,
    further: Mapping[str, Tensor] | None = None,
) -> tuple[int, dict[str, Tensor]]:
    """Write a LLaVA v0 as transformers names its weights.

    Args:
        model: Language model, with or without projector and region extractor, official names.
        vision: CLIP; of it the vision tower is taken.
        out: Folder to write.
        change: Official name and weight -> what is written of it.
        further: Weights to be written besides, under official names.

    Returns:
        How many weights were written, and those of the region extractor, which were not.
    """
    names: dict[str, str] = {}
    extractor: dict[str, Tensor] = {}
    # One file after the other: some kinds of files are read whole.
    parts = itertools.chain(
        (('lmm', weights) for _, weights in model.parts()),
        [('further', further or {})],
        (('vision', _tower_of(weights)) for _, weights in vision.parts()),
    )
    for number, (kind, weights) in enumerate(parts):
        part: dict[str, Tensor | LaterTensor] = {}
        for name, value in weights.items():
            if 'rotary_emb.inv_freq' in name:
                continue
            own = gpt4roi_key(name)
            if own.startswith('roi_extractor.'):
                extractor[own] = value
            else:
                part[own.removeprefix('lmm.model.')] = change(name, value)
        _save(part, out / f'{kind}-{number:05d}.safetensors', names)
    _write_index(out, names)
    return len(names), extractor


def _tower_of(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value
        for name, value in weights.items()
        if name.startswith('vision_model.') and not name.endswith('position_ids')
    }


def _write_shards(
    source: Shards, out: Path, change: Callable[[str, Tensor], Tensor | LaterTensor]
) -> None:
    names: dict[str, str] = {}
    for number, (_, weights) in enumerate(source.parts()):
        changed = {name: change(name, value) for name, value in weights.items()}
        _save(changed, out / f'model-{number:05d}.safetensors', names)
    _write_index(out, names)


def _save(weights: dict[str, Tensor | LaterTensor], path: Path, names: dict[str, str]) -> None:
    if weights:
        write_safetensors(path, weights)
        names.update(dict.fromkeys(weights, path.name))


def _write_index(out: Path, names: dict[str, str]) -> None:
    # The index comes last: a folder without one is an unfinished one.
    write_json(out / 'model.safetensors.index.json', {'metadata': {}, 'weight_map': names})


def tokens_of(folder: str | os.PathLike) -> dict[str, int]:
    """GPT4RoI's special tokens and their ids, as its tokenizer says.

    Raises:
        CheckpointError: ``added_tokens.json`` lacks one.
    """
    path = Path(folder) / 'added_tokens.json'
    known = load_json(path)
    wanted = ('<im_patch>', '<bbox>', '<im_start>', '<im_end>')
    missing = [token for token in wanted if not isinstance(known.get(token), int)]
    if missing:
        raise CheckpointError(path, f'lacks the tokens {missing}.')
    return {token: known[token] for token in wanted}


def describe_index(folder: str | os.PathLike) -> str:
    """How many weights a converted folder holds, for people."""
    index = load_json(Path(folder) / _INDICES[0])
    return f'{len(index["weight_map"])} weights in {len(set(index["weight_map"].values()))} files'
