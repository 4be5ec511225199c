"""Every family of LMM: capture equals eager, batches equal single samples, cells are right.

The families come from the modules ``families_*.py`` beside this file.
"""

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from capture_checks import assert_capture_matches_eager
from family_builders import FAMILIES
from PIL import Image

from flmm.models.lmms.several_images import read_prompt
from flmm.registry import MODELS
from flmm.structures import GroundingSample, TextPiece

for module in sorted(Path(__file__).parent.glob('families_*.py')):
    importlib.import_module(module.stem)

PIECES = (
    [TextPiece('a red circle', 0), TextPiece(' left of '), TextPiece('the blue square', 1)],
    [TextPiece('there is '), TextPiece('a star', 0)],
    [TextPiece('grass', 0)],
    [TextPiece('two green triangles', 0), TextPiece(' under '), TextPiece('sky', 1)],
)


@pytest.fixture(scope='module', params=sorted(FAMILIES))
def family(request):
    return FAMILIES[request.param]


@pytest.fixture(scope='module')
def folder(family, tmp_path_factory):
    path = tmp_path_factory.mktemp(family.name)
    family.build(path)
    return path


@pytest.fixture(scope='module')
def lmm(family, folder):
    return MODELS.build(dict(family.lmm(folder), dtype='float32')).eval()


@pytest.fixture(scope='module')
def processor(family, folder):
    return MODELS.build(dict(family.processor(folder), with_labels=True))


def noise(shape, seed=0):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8))


@pytest.fixture(scope='module')
def inputs(family, processor):
    """A batch of different images and texts; phrases at either end of the text."""
    return [
        processor(
            GroundingSample(
                f's/{seed}', image=noise(shape, seed), prompt=family.prompt, pieces=list(pieces)
            )
        )
        for seed, (shape, pieces) in enumerate(zip(family.shapes, PIECES, strict=True))
    ]


def features(lmm, inputs):
    with torch.no_grad():
        return lmm.phrase_features(inputs)


def test_captured_maps_equal_eager_attention(family, lmm, inputs):
    for one in inputs:
        (got,) = assert_capture_matches_eager(lmm, [one])
        maps = family.num_grids * lmm.num_layers * lmm.num_heads
        assert got.attention.shape[:2] == (len(one.phrase_indices), maps)
        # Far from uniform, or the comparison would show little.
        assert got.attention.max() > 2 * got.attention.median()


def test_captured_maps_of_a_padded_batch_equal_eager_attention(lmm, inputs):
    assert len({len(one.input_ids) for one in inputs}) > 1
    assert_capture_matches_eager(lmm, inputs)


def test_bf16_maps_equal_eager_attention(family, folder, inputs):
    lmm = MODELS.build(dict(family.lmm(folder), dtype='bfloat16')).eval()
    assert_capture_matches_eager(lmm, inputs[:2])


def test_a_padded_batch_equals_one_by_one(lmm, inputs):
    for together, one in zip(features(lmm, inputs), inputs, strict=True):
        (alone,) = features(lmm, [one])
        assert together.phrase_indices == alone.phrase_indices
        torch.testing.assert_close(together.attention, alone.attention, atol=1e-6, rtol=1e-4)
        for a, b in zip(together.hidden, alone.hidden, strict=True):
            torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


def test_grids_hold_every_visual_token_of_a_cell_once(family, processor, inputs):
    for one, shape in zip(inputs, family.shapes, strict=True):
        assert len(one.grids) == family.num_grids and one.image_shape == shape
        for grid in one.grids:
            places = grid.positions.flatten()
            assert len(places.unique()) == len(places)
            if processor.image_token_id >= 0:
                assert (one.input_ids[places] == processor.image_token_id).all()
            x0, y0, x1, y1 = grid.box_xyxy
            assert x0 < x1 and y0 < y1


def test_the_loss_of_labelled_text_trains_the_lmm(lmm, inputs):
    try:
        loss = lmm(inputs)['loss_lm']
        loss.backward()
        assert loss.isfinite() and loss > 0
        norms = [p.grad.norm() for p in lmm.parameters() if p.grad is not None]
        assert sum(norms) > 0
    finally:
        lmm.zero_grad()
    each = [lmm([one])['loss_lm'].detach() for one in inputs]
    counts = torch.tensor([float((one.labels[1:] >= 0).sum()) for one in inputs])
    want = (torch.stack(each) * counts).sum() / counts.sum()
    assert float(loss.detach()) == pytest.approx(float(want), rel=1e-4)


def test_text_is_written_greedily(family, lmm, processor):
    sample = GroundingSample('s', image=noise(family.shapes[0]), prompt=family.prompt)
    prompt = processor(sample)
    assert prompt.phrase_indices == ()
    ends, lmm.model.generation_config.eos_token_id = lmm.model.generation_config.eos_token_id, None
    try:
        (written,) = lmm.generate([prompt], max_new_tokens=4)
    finally:
        lmm.model.generation_config.eos_token_id = ends
    assert written.shape == (4,)
    # The same tokens as a given text: each must follow from those before it.
    given = processor(replace(sample, pieces=[TextPiece('xyzw')]))
    length = len(prompt.input_ids)
    assert len(given.input_ids) == length + 4
    given = replace(given, input_ids=torch.cat([prompt.input_ids, written]))
    with torch.no_grad():
        logits = lmm.model(**lmm._batch([given]), use_cache=False).logits[0]
    assert logits[length - 1 : -1].argmax(-1).tolist() == written.tolist()


def test_the_text_it_writes_is_grounded_as_if_it_had_been_read(family, lmm, processor):
    sample = GroundingSample('s', image=noise(family.shapes[0]), prompt=family.prompt)
    ends, lmm.model.generation_config.eos_token_id = lmm.model.generation_config.eos_token_id, None
    try:
        (text,) = lmm.generate_with_features([processor(sample)], lambda ids, hidden: ids * 0, 4)
    finally:
        lmm.model.generation_config.eos_token_id = ends
    (want,) = features(lmm, [text.inputs])
    assert text.token_ids.shape == (4,) and text.features.phrase_indices == (0,)
    assert (text.features.attention - want.attention).abs().max() <= 2e-6
    torch.testing.assert_close(text.features.hidden[0], want.hidden[0], atol=2e-5, rtol=1e-4)


def test_phrases_are_grounded_in_the_image_that_is_named(family, lmm, processor):
    first, second, other = (
        noise(shape, seed) for seed, shape in enumerate([*family.shapes[:2], family.shapes[1]])
    )

    def read(*images):
        turn = 'First: <image>\nThen: <image>\nDescribe the second.'
        return read_prompt(processor, turn, images, pieces=PIECES[0], image=1)

    inputs = read(first, second)
    (got,) = assert_capture_matches_eager(lmm, [inputs])
    assert got.grid.image == 1 and inputs.image_shape == family.shapes[1]
    assert len(inputs.grids) == 2 * len(inputs.image_grids) == 2 * family.num_grids
    # Another second image moves the tokens of its own cells only.
    moved = (read_embeddings(lmm, read(first, other)) - read_embeddings(lmm, inputs)).norm(dim=-1)
    for grid in inputs.grids:
        assert bool((moved[grid.positions] > 1e-3).all()) == (grid.image == 1)
        assert bool((moved[grid.positions] > 1e-5).any()) == (grid.image == 1)


@pytest.fixture(scope='module')
def attentive(family, folder):
    """The LMM with a tower that looks at its own patch first, as trained ones do."""
    lmm = MODELS.build(dict(family.lmm(folder), dtype='float32')).eval()
    inside = {id(p) for p in lmm.decoder().parameters()}
    scaled = 0
    for name, parameter in lmm.named_parameters():
        if id(parameter) not in inside and any(part in name for part in family.mixers):
            parameter.data *= 0.02
            scaled += 1
    assert scaled, f'no weight of the tower is named like {family.mixers}'
    return lmm


@pytest.mark.parametrize('index', range(3))
def test_each_cell_comes_from_the_pixels_that_its_box_says(family, attentive, processor, index):
    shape = family.probe_shapes[index]
    sample = GroundingSample(
        'cells', image=noise(shape), prompt=family.prompt, pieces=[TextPiece('a star', 0)]
    )
    inputs, pixels = processor(sample), np.asarray(sample.image)
    before = read_embeddings(attentive, inputs)
    rows, columns = inputs.grids[-1].shape
    checked = 0
    for row in dict.fromkeys((0, rows // 2, rows - 1)):
        for column in dict.fromkeys((0, columns // 2, columns - 1)):
            changed, part = perturbed(pixels, inputs.grids[-1], row, column)
            if changed is None:  # padding
                continue
            checked += 1
            moved = read_embeddings(attentive, processor(replace_image(sample, changed))) - before
            for grid in inputs.grids:
                strength = moved.norm(dim=-1)[grid.positions]
                most = np.unravel_index(int(strength.argmax()), grid.shape)
                # In a coarse grid the rectangle may lie on a border of cells.
                share = 0.6 if grid is inputs.grids[-1] else 0.2
                assert tuple(map(int, most)) in cells_at(grid, part, share), (row, column)
    assert checked >= 3


def replace_image(sample, pixels):
    return replace(sample, image=Image.fromarray(pixels))


def perturbed(pixels, grid, row, column):
    """Pixels with the middle of one cell inverted, and the rectangle that changed."""
    x0, y0, x1, y1 = grid.box_xyxy
    high, wide = (y1 - y0) / grid.shape[0], (x1 - x0) / grid.shape[1]
    # Well inside the cell, so that resizing does not smear it over the border.
    top, bottom = (round(y0 + high * (row + share)) for share in (0.25, 0.75))
    left, right = (round(x0 + wide * (column + share)) for share in (0.25, 0.75))
    bottom, right = max(bottom, top + 1), max(right, left + 1)
    if top < 0 or left < 0 or bottom > pixels.shape[0] or right > pixels.shape[1]:
        return None, None
    changed = pixels.copy()
    changed[top:bottom, left:right] ^= 255
    return changed, (left, top, right, bottom)


def cells_at(grid, part, share):
    """Cells that hold more than ``share`` of what the one with most of a rectangle holds."""
    x0, y0, x1, y1 = grid.box_xyxy
    rows = np.linspace(y0, y1, grid.shape[0] + 1)
    columns = np.linspace(x0, x1, grid.shape[1] + 1)
    high = np.minimum(rows[1:], part[3]) - np.maximum(rows[:-1], part[1])
    wide = np.minimum(columns[1:], part[2]) - np.maximum(columns[:-1], part[0])
    overlap = high.clip(0)[:, None] * wide.clip(0)[None]
    return {(int(r), int(c)) for r, c in np.argwhere(overlap > share * overlap.max())}


def read_embeddings(lmm, inputs):
    """What the language model reads: ``(T, C)``, image features in their places."""
    seen = []
    hook = (
        lmm.decoder()
        .layers[0]
        .register_forward_pre_hook(
            lambda _module, args, kwargs: seen.append(args[0] if args else kwargs['hidden_states']),
            with_kwargs=True,
        )
    )
    features(lmm, [inputs])
    hook.remove()
    return seen[0][0]
