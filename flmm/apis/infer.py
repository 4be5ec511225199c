"""Ground files and write pictures: the work behind ``tools/infer.py``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flmm.apis.config import load_config
from flmm.apis.grounding_inferencer import GroundingInferencer
from flmm.structures import GroundingPrediction
from flmm.utils.masks import encode_rle, mask_to_xyxy
from flmm.utils.safe_io import write_json
from flmm.visualization import draw_prediction


def ground_files(
    config: str,
    checkpoint: str | None,
    images: Sequence[str],
    *,
    text: str | None = None,
    out_dir: Path = Path('work_dirs/infer'),
    device: str | None = None,
    max_new_tokens: int = 64,
    cfg_options: Sequence[str] = (),
) -> list[GroundingPrediction]:
    """Ground a text in each image; write ``NAME_grounded.png`` and ``NAME_grounded.json``.

    Args:
        config: File of the experiment.
        checkpoint: What its training saved.
        images: Image files.
        text: What to ground; None lets the LMM describe each image.
        out_dir: Folder for the results, made if missing.
        device: Where to run; None takes a GPU when there is one.
        max_new_tokens: Most tokens of a description.
        cfg_options: ``key=value`` overrides of the config.

    Returns:
        One prediction for each image.
    """
    inferencer = GroundingInferencer(load_config(config, cfg_options), checkpoint, device)
    out_dir.mkdir(parents=True, exist_ok=True)
    predictions = []
    for image, name in zip(images, distinct_names(images), strict=True):
        prediction = inferencer(image, text, max_new_tokens=max_new_tokens)
        picture = out_dir / f'{name}_grounded.png'
        draw_prediction(prediction, side=512).save(picture)
        write_json(picture.with_suffix('.json'), describe_prediction(prediction))
        print(f'{image}: {prediction.text!r}')
        for phrase, mask, score in zip(
            prediction.sample.phrases, prediction.pred_masks, prediction.scores, strict=True
        ):
            share = 100 * float(mask.float().mean())
            print(f'  {phrase.text!r}: {share:.1f} % of the image, score {float(score):.2f}')
        print(f'  -> {picture}')
        predictions.append(prediction)
    return predictions


def distinct_names(paths: Sequence[str]) -> list[str]:
    """Stems of files; where several are the same, the later ones get a number.

    Args:
        paths: For example ``['a/1.jpg', 'b/1.png']``, which gives ``['1', '1_2']``.
    """
    names: list[str] = []
    for stem in (Path(path).stem for path in paths):
        name, number = stem, 1
        while name in names:
            number += 1
            name = f'{stem}_{number}'
        names.append(name)
    return names


def describe_prediction(prediction: GroundingPrediction) -> dict:
    """A prediction as plain containers: for each phrase its words, box, score and RLE mask."""
    sample = prediction.sample
    return {
        'image': sample.image_path or sample.sample_id,
        'height': sample.ori_shape[0],
        'width': sample.ori_shape[1],
        'text': prediction.text,
        'phrases': [
            {
                'text': phrase.text,
                'box_xyxy': mask_to_xyxy(mask.numpy()),
                'score': round(float(score), 4),
                'mask': encode_rle(mask.numpy()),
            }
            for phrase, mask, score in zip(
                sample.phrases, prediction.pred_masks, prediction.scores, strict=True
            )
        ],
    }
