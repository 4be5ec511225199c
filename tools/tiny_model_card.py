"""Write the model card (README.md and the loss curve) of a retrained tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
from safetensors import safe_open

matplotlib.use('Agg')

_TITLES = {
    'llava': 'Tiny LLaVA of the toy world',
    'sam': 'Tiny SAM of the toy world',
}
_TEXTS = {
    'llava': """A `LlavaForConditionalGeneration` (CLIP tower 96 px / patch 8, 6 layers of 128; Llama of 5
layers of 8 heads of 32, 160 channels; 12 x 12 visual tokens) with its own tokenizer. It knows nothing but
the toy world of `flmm.datasets.toy`: flat shapes of six colours on sky, wall, grass, sand, water, road.

Images are padded to a square with the processor's mean colour, then resized to 96 px. Chat template:
`USER: <image>\\n{request} ASSISTANT:`. Requests it was trained on: `Describe this image.` (narratives and
lists of referring expressions, whose phrases are now and then followed by squares of a 12 x 12 board
that the object covers), `What can be seen in this picture?` (captions), `Where is ...?`,
`What is on some squares?`, and short questions.

Four stages. (1) Vision tower and projector are aligned with fixed, mutually orthogonal word embeddings: a
visual token is the sum of the words for what its patch shows (kind, colour, size, texture, row, column,
place). (2) The LLM learns to name squares of what words and referring expressions mean; (3) it is trained on
40 000 whole conversations in LLaVA's json format. More than half of their referring expressions cannot be
understood without a relation, a ground or a superlative; (4) it goes on with 12 000 conversations about other
scenes, mostly of referring expressions, followed by squares and by looks that they do not mention. The first stands for the pretrained CLIP tower and the
alignment stage of real LLaVA models; the others use the language loss only. In place of the LLM's
pretraining, the heads start by copying and by looking from a word at visual tokens like it
(`flmm/models/lmms/mimetic_init.py`). No attention map was ever supervised.

The untrained control has the weights that stage 1 started from (but for last bits, which depend on the
number of threads): same architecture, same initialisation, same seed (`write_untrained_tiny_llava` in `flmm/models/lmms/tiny_llava.py`).
""",
    'sam': """A `SamModel` (image encoder of 4 layers of 96 channels at 128 px, patch 8; masks of 64 x 64)
trained on the panoptic segments of the toy world: things, stuff, and unions of things of one kind, with
imperfect prompts (coarse masks that are blurred, shrunk, grown, cut or leaking; jittered boxes; both).
It was trained for single masks; its three multi-mask outputs are untrained.

Images: longer side 128 (bilinear), SAM's mean and deviation, zero padding at the bottom and right.
""",
}
_MEASURED = {
    'caption/facts': 'facts of generated captions that are right (size, colour, shape, place)',
    'caption/objects': 'objects of the scenes captioned with every fact right',
    'questions': 'short questions (colour, shape, size, count, place, yes/no) answered right',
    'pointing': 'squares named for "Where is ...?" that the object covers',
    'iou/both': 'mean IoU with mask and box prompts',
    'iou/box': 'mean IoU with box prompts alone',
    'iou/mask': 'mean IoU with mask prompts alone',
    'iou/prompt': 'mean IoU of the mask prompts themselves',
}


def read_losses(work_dir: Path) -> list[tuple[int, float]]:
    """(iteration, loss) of the newest run of a work folder."""
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    if not logs:
        raise FileNotFoundError(f'{work_dir} holds no */vis_data/scalars.json: was it trained?')
    rows = [json.loads(line) for line in logs[-1].read_text().splitlines()]
    return [(row['step'], row['loss']) for row in rows if 'loss' in row]


def write_model_card(
    name: str, folder: Path, work_dirs: list[Path], scores: dict[str, float]
) -> None:
    """Write ``README.md`` and ``loss.png`` into an exported folder.

    Args:
        name: ``'llava'`` or ``'sam'``.
        folder: The exported model.
        work_dirs: Work folder of each training stage, for the loss curve.
        scores: What was measured, percent.
    """
    _plot_losses(work_dirs, folder / 'loss.png')
    weights = folder / 'model.safetensors'
    with safe_open(weights, framework='np') as tensors:
        count = sum(_size(tensors.get_slice(key).get_shape()) for key in tensors.keys())
    configs = ', then '.join(f'`configs/toy/{work_dir.name}.py`' for work_dir in work_dirs)
    rows = '\n'.join(f'| {_MEASURED[key]} | {value:.1f} % |' for key, value in scores.items())
    (folder / 'README.md').write_text(
        f"""# {_TITLES[name]}

{_TEXTS[name]}
| | |
|---|---|
| parameters | {count / 1e6:.2f} M ({weights.stat().st_size / 1e6:.1f} MB, float32) |
| retraining | `python tools/retrain_tiny.py {name} --install` |
| configs | {configs} |
| seed | 0 (weights, data order); scenes of the data: see the command |

Measured by `python tools/measure_tiny.py {name} checkpoints/tiny_{name}` on 100 scenes of the
val split, which no training has seen:

| | |
|---|---|
{rows}

![training loss](loss.png)
"""
    )


def _size(shape: list[int]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def _plot_losses(work_dirs: list[Path], path: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(work_dirs), figsize=(4 * len(work_dirs), 3))
    for axis, work_dir in zip([axes] if len(work_dirs) == 1 else axes, work_dirs, strict=True):
        steps, losses = zip(*read_losses(work_dir), strict=True)
        axis.plot(steps, losses)
        axis.set(title=work_dir.name, xlabel='iteration', ylabel='loss', ylim=(0, None))
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
