"""Re-runs the recorded F-LMM model cases: forward, options, losses, three training steps."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from flmm.datasets.transforms.geometry import PrepareRefinerPixels
from flmm.models.lmms.image_processors import PadToSquareImageProcessor
from flmm.models.official_keys import f_lmm_keys
from flmm.models.systems import FLMM
from flmm.structures import GroundingSample, ImageGrid, LMMInputs, Phrase

from .f_lmm_recipe import build_f_lmm
from .result import GoldenResult, compare_array, compare_exact

# Relative to the largest recorded number (goldens' README, section 4).
_TOLERANCE = {'maps': 2e-5, 'coarse': 5e-5, 'refined': 1e-4}
_FAMILIES = {'llava-1.5'}


def recognise(folder: Path) -> bool:
    """Whether ``folder`` holds a model case of a covered family, or training steps of one."""
    if (folder / 'golden.json').is_file() and (folder / 'golden.npz').is_file():
        return 'grad_step1' in json.loads((folder / 'golden.json').read_text())
    if not all((folder / n).is_file() for n in ('case.json', 'keys.json', 'golden.npz')):
        return False
    return json.loads((folder / 'case.json').read_text()).get('lmm') in _FAMILIES


def check(folder: Path) -> list[GoldenResult]:
    """Re-run what ``folder`` holds.

    Args:
        folder: A model case, or training steps whose model case is a sibling folder.
    """
    if (folder / 'case.json').is_file():
        return list(_check_forward(folder))
    return list(_check_training(folder))


def _loss_tolerance(
    name: str, relative: float = 1e-4, absolute: float | None = None
) -> dict[str, float]:
    """Losses are held relative, scores (which count pixels) absolute."""
    if 'accuracy' in name or 'aiou' in name:
        return {'atol': 1e-4}
    return {'rtol_of_max': relative} if absolute is None else {'atol': absolute}


class _Case:
    """A recorded case: its model, and its sample as flmm's structures."""

    def __init__(self, folder: Path) -> None:
        self.record = json.loads((folder / 'case.json').read_text())
        self.keys = json.loads((folder / 'keys.json').read_text())
        self.arrays = dict(np.load(folder / 'golden.npz'))
        self.image = Image.open(folder / 'image.png').convert('RGB')
        with tempfile.TemporaryDirectory() as lmm_folder:
            self.model = build_f_lmm(self.record, self.keys, Path(lmm_folder))

    def sample(
        self, arrays: dict[str, np.ndarray], image: Image.Image, meta: dict
    ) -> tuple[LMMInputs, GroundingSample]:
        """Make the sample of recorded ids, masks and image; pixels come from our processor."""
        settings = self.record['processor']
        processor = PadToSquareImageProcessor(
            size=settings['size']['shortest_edge'],
            patch_size=self.record['vision_config']['patch_size'],
            image_mean=settings['image_mean'],
            image_std=settings['image_std'],
        )
        tensors = processor(image)
        ids, phrase_ids, start = _expand(
            arrays['input_ids'],
            arrays['mask_ids'],
            self.record['image_token_index'],
            len(tensors.cells),
        )
        grids = tuple(
            ImageGrid(positions, view.box_xyxy)
            for positions, view in zip(tensors.positions(start), tensors.grids, strict=True)
        )
        resized = (meta['image_shape']['height'], meta['image_shape']['width'])
        shape = (image.height, image.width)
        inputs = LMMInputs(ids, phrase_ids, grids, shape, resized, dict(tensors.tensors))
        gt_masks = arrays['gt_masks'].astype(bool)
        sample = GroundingSample(
            'recorded',
            image=image,
            ori_shape=shape,
            phrases=[Phrase(f'phrase {i}') for i in range(len(gt_masks))],
            gt_masks=gt_masks,
        )
        return inputs, PrepareRefinerPixels(self.record['sam']['image_size']).transform(sample)


def _expand(
    input_ids: np.ndarray, mask_ids: np.ndarray, image_token: int, cells: int
) -> tuple[Tensor, Tensor, int]:
    """Replace the one image token by ``cells`` of them; also return where they start."""
    at = int(np.flatnonzero(input_ids == image_token)[0])
    ids = np.concatenate([input_ids[:at], np.full(cells, image_token), input_ids[at + 1 :]])
    phrases = np.concatenate([mask_ids[:at], np.full(cells, -1), mask_ids[at + 1 :]])
    return torch.from_numpy(ids), torch.from_numpy(phrases), at


def _check_forward(folder: Path) -> Iterator[GoldenResult]:
    case = _Case(folder)
    model, want = case.model, case.arrays
    inputs, sample = case.sample(want, case.image, case.record['meta_data'])
    yield compare_array(
        'pixel_values', inputs.tensors['pixel_values'][0], want['pixel_values'], rtol_of_max=1e-6
    )
    yield compare_exact('merged_mask_ids', inputs.phrase_ids, want['merged_mask_ids'])
    trainable = {
        n for k in json.loads((folder / 'trainable.json').read_text()) for n in f_lmm_keys(k)
    }
    ours = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    yield compare_exact('trainable parameters', sorted(ours), sorted(trainable))
    with torch.no_grad():
        yield from _check_stages(model, inputs, sample, want)
        losses = model.loss([inputs], [sample])
    for name, value in case.record['losses'].items():
        yield compare_array(f'losses.{name}', losses[name], value, **_loss_tolerance(name))
    with torch.no_grad():
        yield from _check_options(model, inputs, sample, want)


def _check_stages(
    model: FLMM, inputs: LMMInputs, sample: GroundingSample, want: dict[str, np.ndarray]
) -> Iterator[GoldenResult]:
    features, coarse, refined = model.masks([inputs], [sample])
    hidden = torch.cat(features[0].hidden)
    rows = torch.nonzero(inputs.phrase_ids >= 0).flatten()
    mixed = torch.einsum('l,tlc->tc', model.text_layer_weights.softmax(0), hidden)
    yield compare_array(
        'mask_attentions',
        features[0].attention,
        want['mask_attentions'],
        rtol_of_max=_TOLERANCE['maps'],
    )
    yield compare_array(
        'hidden_states', mixed, want['hidden_states'][rows.numpy()], rtol_of_max=_TOLERANCE['maps']
    )
    texts = model.text_embeds(features[0].hidden)
    yield compare_array(
        'text_embeds', torch.cat(texts), want['text_embeds'], rtol_of_max=_TOLERANCE['maps']
    )
    if 'unet_input' in want:
        prepared, _ = model.mask_head.prepare(features[0].attention[:1])
        yield compare_array(
            'unet_input', prepared[0, [0, -1]], want['unet_input'], rtol_of_max=_TOLERANCE['maps']
        )
    yield compare_array(
        'pred_masks', coarse[0], want['pred_masks'], rtol_of_max=_TOLERANCE['coarse']
    )
    refiner, pixels = model.mask_refiner, sample.refiner_pixels
    resized = tuple(pixels.shape[-2:])
    boxes = refiner.box_prompts(coarse[0], resized, inputs.image_shape)
    yield compare_array('sam_boxes', boxes[:, None], want['sam_boxes'], atol=1e-3)
    if 'sam_mask_prompts' in want:
        prompts = refiner.mask_prompts(coarse[0], resized)[:, 0, ::4, ::4]
        yield compare_array(
            'sam_mask_prompts', prompts, want['sam_mask_prompts'], rtol_of_max=_TOLERANCE['coarse']
        )
    embedding = refiner.encode_images([pixels])[0, ::4, ::8, ::8]
    yield compare_array(
        'sam_image_embedding_sub',
        embedding,
        want['sam_image_embedding_sub'],
        rtol_of_max=_TOLERANCE['maps'],
    )
    low = refiner.low_res_masks([pixels], coarse, [texts], [inputs.image_shape])[0][:, ::4, ::4]
    yield compare_array(
        'sam_low_res_masks', low, want['sam_low_res_masks'], rtol_of_max=_TOLERANCE['refined']
    )
    yield compare_array(
        'sam_pred_masks', refined[0], want['sam_pred_masks'], rtol_of_max=_TOLERANCE['refined']
    )


def _check_options(
    model: FLMM, inputs: LMMInputs, sample: GroundingSample, want: dict[str, np.ndarray]
) -> Iterator[GoldenResult]:
    """The recorded variants: each switches one option and back."""
    variants = [
        ('opt_multimask', model.mask_refiner, 'multimask_output', True),
        ('opt_no_text', model.mask_refiner, 'use_text', False),
        ('opt_no_mask', model.mask_refiner, 'use_mask', False),
        ('opt_no_box', model.mask_refiner, 'use_box', False),
        ('opt_merge_max', model.lmm, 'merge', 'max'),
    ]
    for name, owner, option, value in variants:
        if f'{name}_sam_pred_masks' not in want:
            continue
        before = getattr(owner, option)
        setattr(owner, option, value)
        _, coarse, refined = model.masks([inputs], [sample])
        setattr(owner, option, before)
        recorded = want[f'{name}_sam_pred_masks']
        yield compare_array(
            f'{name}_sam_pred_masks',
            refined[0][: len(recorded)],
            recorded,
            rtol_of_max=_TOLERANCE['refined'],
        )
        if f'{name}_pred_masks' in want:
            recorded = want[f'{name}_pred_masks']
            yield compare_array(
                f'{name}_pred_masks',
                coarse[0][: len(recorded)],
                recorded,
                rtol_of_max=_TOLERANCE['coarse'],
            )


def _check_training(folder: Path) -> Iterator[GoldenResult]:
    record = json.loads((folder / 'golden.json').read_text())
    arrays = dict(np.load(folder / 'golden.npz'))
    case = _Case(_model_case(folder, record))
    sample = case.sample(case.arrays, case.image, case.record['meta_data'])
    second = case.sample(
        {name.removeprefix('s2_'): array for name, array in arrays.items() if name[:3] == 's2_'},
        Image.open(folder / 'image2.png').convert('RGB'),
        record['image2_meta_data'],
    )
    with torch.no_grad():
        for name, pairs in {
            'loss_sample1': [sample],
            'loss_sample2': [second],
            'loss_batch_of_both': [sample, second],
        }.items():
            losses = case.model.loss(*map(list, zip(*pairs, strict=True)))
            for key, value in record[name].items():
                yield compare_array(f'{name}.{key}', losses[key], value, **_loss_tolerance(key))
    yield from _check_steps(case.model, sample, record, arrays)


def _model_case(folder: Path, record: dict) -> Path:
    """The sibling folder with the model that was trained."""
    for other in sorted(folder.parent.iterdir()):
        if (other / 'case.json').is_file():
            case = json.loads((other / 'case.json').read_text())
            if case.get('lmm') == 'llava-1.5' and case['seed'] == record['case_A']['seed']:
                return other
    raise FileNotFoundError(
        f'{folder} records training steps of a LLaVA-1.5 case with seed '
        f'{record["case_A"]["seed"]}, which no folder beside it holds.'
    )


def _check_steps(
    model: FLMM,
    sample: tuple[LMMInputs, GroundingSample],
    record: dict,
    arrays: dict[str, np.ndarray],
) -> Iterator[GoldenResult]:
    model.train()
    trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(
        trainable.values(), lr=1e-4, betas=(0.9, 0.999), weight_decay=0.01
    )
    no_gradient = set(record['params_with_numerically_zero_grad'])
    for index, step in enumerate(record['steps']):
        losses = model.loss([sample[0]], [sample[1]])
        for key, value in step['losses'].items():
            limit = _loss_tolerance(key, 1e-5, 1e-5) if index == 0 else _loss_tolerance(key, 1e-3)
            yield compare_array(f'step{index + 1}.{key}', losses[key], value, **limit)
        if 'grad_norm_before_clip' not in step:
            break
        optimizer.zero_grad()
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        norm = torch.nn.utils.clip_grad_norm_(trainable.values(), float('inf'))
        yield compare_array(
            f'step{index + 1}.grad_norm',
            norm,
            step['grad_norm_before_clip'],
            rtol_of_max=1e-3 if index == 0 else 1e-2,
        )
        if index == 0:
            yield from _check_tensors('grad1', {n: p.grad for n, p in trainable.items()}, arrays)
        torch.nn.utils.clip_grad_norm_(trainable.values(), 1.0)
        optimizer.step()
        after = f'params_after_{index + 1}'
        if after in record:
            yield _check_norms(after, trainable, record[after], no_gradient)
            yield from _check_tensors(f'param{index + 1}', trainable, arrays)


def _check_tensors(
    prefix: str, tensors: dict[str, Tensor], arrays: dict[str, np.ndarray]
) -> Iterator[GoldenResult]:
    for name, want in arrays.items():
        if name.startswith(f'{prefix}/'):
            ours = tensors[f_lmm_keys(name.removeprefix(f'{prefix}/'))[0]]
            yield compare_array(name, ours.detach(), want, rtol_of_max=1e-3)


def _check_norms(
    name: str, tensors: dict[str, Tensor], recorded: dict[str, dict], ignored: set[str]
) -> GoldenResult:
    """Norms of all parameters in one line; parameters whose true gradient is 0 only wander."""
    keys = [key for key in recorded if key not in ignored]
    ours = [float(tensors[f_lmm_keys(key)[0]].detach().double().norm()) for key in keys]
    want = np.array([recorded[key]['norm'] for key in keys])
    return compare_array(
        f'{name}.norms', np.array(ours) / want, np.ones_like(want), rtol_of_max=1e-3
    )
