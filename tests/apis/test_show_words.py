from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from flmm.apis.show_words import show_words, words_of
from flmm.datasets.toy.build import ToySettings, build_toy_world
from flmm.structures import GroundingSample, Phrase, TextPiece
from flmm.utils.errors import FLMMError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('words') / 'toy'
    formats = ('localized_narratives', 'refcoco', 'visual_genome')
    build_toy_world(folder, ToySettings(num_train=1, num_val=2, formats=formats), quiet=True)
    return folder / 'localized_narratives'


@pytest.fixture
def config(root, tiny_llava):
    """A word location on a random LLaVA, with the toy world's narratives as its test."""
    reading = [
        dict(type='LoadImage'),
        dict(type='AddPrompt'),
        dict(
            type='PrepareLMMInputs',
            processor=dict(
                type='LMMProcessor',
                tokenizer=str(tiny_llava),
                image_processor=dict(type='PadToSquareImageProcessor', size=48, patch_size=8),
            ),
        ),
    ]
    return Config(
        dict(
            model=dict(
                type='WordLocation',
                lmm=dict(type='HFLMM', pretrained=str(tiny_llava), dtype='float32'),
                point_head=dict(type='MLPPointHead', in_channels=32, num_points=1),
            ),
            test_dataloader=dict(
                traces=dict(
                    dataset=dict(
                        type='LocalizedNarrativesDataset',
                        ann_file=str(root / 'coco_val_localized_narratives.jsonl'),
                        image_root=str(root / 'val2017'),
                        pipeline=reading,
                    )
                )
            ),
        )
    )


def test_annotated_traces_need_no_model(config, tmp_path):
    paths = show_words(config, None, truth=True, index=1, out_dir=tmp_path / 'out')
    assert [path.suffix for path in paths] == ['.png', '.gif', '.html']
    assert all(path.stem == 'traces_1' and path.stat().st_size > 1000 for path in paths)
    with pytest.raises(FLMMError, match='checkpoint'):
        show_words(config, None)
    with pytest.raises(FLMMError, match='no test task'):
        show_words(config, None, truth=True, task='rec')
    with pytest.raises(FLMMError, match='no annotated'):
        show_words(config, None, truth=True, image='photo.jpg')


def test_predictions_of_an_image_of_one_s_own(config, tmp_path):
    from flmm.registry import MODELS

    torch.manual_seed(0)
    head = MODELS.build(config.model).point_head.state_dict()
    checkpoint = tmp_path / 'head.pth'
    torch.save({'state_dict': {f'point_head.{k}': v for k, v in head.items()}}, checkpoint)
    image = Image.fromarray(np.full((30, 40, 3), 99, np.uint8))
    paths = show_words(
        config, checkpoint, image=image, text='a red circle', out_dir=tmp_path, device='cpu'
    )
    page = paths[2].read_text()
    assert paths[2].name == 'image.html' and '"red"' in page and '"point": [' in page
    with pytest.raises(FLMMError, match='give a text'):
        show_words(config, checkpoint, image=image, out_dir=tmp_path)


def test_the_last_word_of_a_phrase_has_its_point():
    pieces = [TextPiece('a red dot', 0), TextPiece(' on '), TextPiece('sand', 1)]
    sample = GroundingSample('s', pieces=pieces, phrases=[Phrase('a red dot'), Phrase('sand')])
    words = words_of(sample, [[1.0, 2.0], None])
    assert [(word.text, word.point) for word in words] == [
        ('a', None), ('red', None), ('dot', (1.0, 2.0)), ('on', None), ('sand', None),
    ]  # fmt: skip
