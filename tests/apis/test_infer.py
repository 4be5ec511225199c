import json

import numpy as np
import pytest
import torch
from PIL import Image

from flmm.apis import infer
from flmm.utils.masks import decode_rle


@pytest.mark.parametrize(
    ('paths', 'names'),
    [
        (['a.jpg', 'b.png'], ['a', 'b']),
        (['x/1.jpg', 'y/1.png', 'z/1.jpg'], ['1', '1_2', '1_3']),
        (['1.jpg', '1_2.jpg', 'x/1.png'], ['1', '1_2', '1_3']),
        ([], []),
    ],
)
def test_results_of_images_with_one_name_do_not_overwrite_each_other(paths, names):
    assert infer.distinct_names(paths) == names


def test_a_picture_and_a_json_are_written_for_each_image(inferencer, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(infer, 'load_config', lambda *_: None)
    monkeypatch.setattr(infer, 'GroundingInferencer', lambda *_: inferencer)
    paths = []
    for folder, size in (('a', (40, 60)), ('b', (64, 20))):
        (tmp_path / folder).mkdir()
        paths.append(str(tmp_path / folder / 'photo.png'))
        pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(paths[-1])
    out = tmp_path / 'deep' / 'out'
    predictions = infer.ground_files(
        'c.py', None, paths, text='a red circle left of the [square]', out_dir=out
    )
    assert sorted(p.name for p in out.iterdir()) == [
        'photo_2_grounded.json',
        'photo_2_grounded.png',
        'photo_grounded.json',
        'photo_grounded.png',
    ]
    assert "'square'" in capsys.readouterr().out
    record = json.loads((out / 'photo_2_grounded.json').read_text())
    assert (record['height'], record['width']) == (64, 20)
    assert record['text'] == 'a red circle left of the square'
    (phrase,) = record['phrases']
    mask = decode_rle(phrase['mask'], (64, 20))
    assert torch.equal(torch.from_numpy(mask), predictions[1].pred_masks[0])
    with Image.open(out / 'photo_grounded.png') as picture:
        assert max(picture.size) >= 512
