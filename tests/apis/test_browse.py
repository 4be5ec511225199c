import json
import re
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from PIL import Image
from torch.utils.data import Dataset

from flmm.apis.browse import browse, build_raw_dataset, choose_samples, find_dataset
from flmm.apis.config import load_config
from flmm.datasets import (
    ConcatGrounding,
    LLaVAInstructDataset,
    Mixture,
    PNGDataset,
    RefCOCODataset,
    ReferringBoxes,
    VQABenchmark,
)
from flmm.datasets.coco_panoptic_names import COCO_PANOPTIC_NAMES
from flmm.datasets.llava_conversations import LlavaConversations
from flmm.datasets.toy.build import ToySettings, build_toy_world
from flmm.datasets.transforms import (
    AddPrompt,
    DescribeSegments,
    LoadImage,
    LoadMasks,
    LoadPanoptic,
    LoadRegions,
    NameImage,
    PrepareDialogue,
    PrepareLMMInputs,
    WriteTurns,
)
from flmm.models.segmenters import HFPanoptic, PanopticFiles
from flmm.registry import DATASETS
from flmm.utils.errors import FLMMError

STRIPES = Path(__file__).parents[1] / 'stripes'
sys.path.insert(0, str(STRIPES))


@DATASETS.register_module(force=True)
class Letters(Dataset):
    """A data set of something else."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return 'a'


# The last step names a tokenizer that does not exist: browsing must not need it.
PIPELINE = [
    dict(type=LoadImage, exif=True),
    dict(type=LoadMasks),
    dict(type=AddPrompt, prompt='<image>'),
    dict(type=PrepareLMMInputs, processor=dict(type='no.such.Processor')),
]


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    root = tmp_path_factory.mktemp('toy')
    settings = ToySettings(num_train=2, num_val=3, formats=('png', 'refcoco', 'pope'))
    build_toy_world(root, settings, quiet=True)
    return root


def toy_config(root, pipeline=PIPELINE):
    png = dict(
        type=PNGDataset,
        ann_file=f'{root}/annotations/png_coco_val2017.json',
        panoptic_json=f'{root}/annotations/panoptic_val2017.json',
        panoptic_root=f'{root}/annotations/panoptic_val2017',
        image_root=f'{root}/val2017',
    )
    refcoco = dict(
        type=RefCOCODataset,
        ann_file=f'{root}/refcoco/instances.json',
        split_file=f'{root}/refcoco/refs(unc).p',
        image_root=f'{root}/train2014',
    )
    train = dict(type=ConcatGrounding, datasets=[refcoco], pipeline=pipeline)
    return Config(
        dict(
            train_dataloader=dict(dataset=train),
            test_dataloader=dict(
                png=dict(dataset=dict(png, pipeline=pipeline)),
                res=dict(dataset=dict(refcoco, split='val', pipeline=pipeline)),
            ),
        )
    )


@pytest.mark.parametrize(('split', 'total'), [('train', 2), ('png', 3), ('res', 3)])
def test_every_dataset_of_a_config_can_be_seen(toy, tmp_path, split, total):
    page, count = browse(toy_config(toy), split, limit=2, out=tmp_path)
    assert count == {'shown': 2, 'skipped': 0, 'total': total}
    assert len(list((tmp_path / 'sheets').iterdir())) == 2
    assert page.read_text().count('<b style="--c:') >= 2


def test_datasets_without_a_pipeline_are_loaded_all_the_same(toy, tmp_path):
    _, count = browse(toy_config(toy, pipeline=[]), 'png', out=tmp_path)
    assert count['shown'] == 3


def test_skipped_samples_are_a_line_of_text(toy, tmp_path):
    config = toy_config(toy)
    config.test_dataloader.png.dataset.image_root = str(tmp_path)
    page, count = browse(config, 'png', out=tmp_path / 'out')
    assert count == {'shown': 0, 'skipped': 3, 'total': 3}
    assert page.read_text().count('skipped, image_unreadable') == 3


def test_a_skip_within_a_config_file(tmp_path):
    config = load_config(STRIPES / 'stripes_config.py')
    page, count = browse(config, 'png', out=tmp_path)
    assert count == {'shown': 4, 'skipped': 1, 'total': 5}
    assert 'skipped, image_unreadable: gone.jpg' in page.read_text()


def test_an_unknown_split_names_those_there_are(toy):
    with pytest.raises(FLMMError, match='train, png, res'):
        find_dataset(toy_config(toy), 'val')


def test_options_of_the_loading_steps_are_kept_and_the_config_is_not_changed(toy):
    config = toy_config(toy)
    dataset, missing = build_raw_dataset(find_dataset(config, 'train'))
    assert [type(step) for step in dataset.pipeline] == [LoadImage, LoadMasks]
    assert dataset.pipeline[0].exif
    # Regions are drawn too, where a data set has them.
    assert [type(step) for step in missing] == [LoadRegions]
    assert len(config.train_dataloader.dataset.pipeline) == 4


def page_of(dataset, folder, **options):
    """Sheets, text and counts of a config that has this dataset alone."""
    config = Config(dict(train_dataloader=dict(dataset=dataset)))
    page, count = browse(config, out=folder, **options)
    sheets = [Image.open(path) for path in sorted((folder / 'sheets').iterdir())]
    return sheets, page.read_text(), count


def referring(toy, **options):
    source = toy_config(toy, pipeline=[]).test_dataloader.res.dataset
    return dict(type=ReferringBoxes, source=dict(source, concat=False), **options)


def test_each_part_gets_its_share_and_what_one_lacks_goes_to_the_others():
    ranges = dict(a=range(2), b=range(2, 9), c=range(9, 16))
    assert choose_samples(ranges, 9) == dict(a=range(2), b=range(2, 6), c=range(9, 12))
    assert choose_samples(ranges, 2) == dict(a=range(1), b=range(2, 3), c=range(9, 9))
    assert sum(map(len, choose_samples(ranges, 100).values())) == 16


def test_all_parts_of_a_concatenation_are_seen_or_one_by_its_name(toy, tmp_path):
    png, res = (toy_config(toy).test_dataloader[task].dataset for task in ('png', 'res'))
    both = dict(type=ConcatGrounding, datasets=[png, res], pipeline=[])
    _, page, count = page_of(both, tmp_path / 'all', limit=4)
    assert count == {'shown': 4, 'skipped': 0, 'total': 6}
    assert page.count('data-group="png"') == page.count('data-group="refcoco"') == 2 + 1
    _, page, count = page_of(both, tmp_path / 'one', limit=4, part='refcoco')
    assert count == {'shown': 3, 'skipped': 0, 'total': 3} and 'data-group="png"' not in page
    with pytest.raises(FLMMError, match="no part 'vcr'; it has png, refcoco"):
        page_of(both, tmp_path / 'none', part='vcr')


def test_parts_of_a_mixture_are_stripped_too_and_questions_are_put_into_words(toy, tmp_path):
    dialogue = dict(type=PrepareDialogue, processor=dict(type='no.such.Processor'))
    words = dict(type=WriteTurns, questions=dict(grounding=['Find {expr} now']), marks=False)
    part = referring(toy, ask='box', pipeline=[dialogue])
    mixture = dict(
        type=Mixture,
        datasets=dict(rec=part, other=dict(part, name='other')),
        weights='rec:2@other',
        pipeline=[dict(type=LoadImage), words, dialogue],
    )
    sheets, page, count = page_of(mixture, tmp_path, limit=4)
    # 11 expressions, those of `rec` twice.
    assert count == {'shown': 4, 'skipped': 0, 'total': 33}
    assert page.count('User: Find ') == 4 and 'Assistant: [0.' in page
    # The picture, and beside it the box that is asked for.
    assert [sheet.width for sheet in sheets] == [670] * 4


def test_questions_without_a_step_that_writes_them_are_put_into_our_words(toy, tmp_path):
    _, page, count = page_of(referring(toy, ask='box', pipeline=[]), tmp_path)
    assert count['shown'] == page.count('User: ') == page.count('Assistant: ') == 11


def test_the_crayon_map_is_drawn_and_described(toy, tmp_path):
    annotations = f'{toy}/annotations/panoptic_val2017'
    files = dict(type=PanopticFiles, panoptic_json=f'{annotations}.json', panoptic_root=annotations)
    png = toy_config(toy).test_dataloader.png.dataset
    steps = [
        dict(type=LoadImage),
        dict(type=LoadPanoptic, segmenter=files),
        dict(type=DescribeSegments, class_names=COCO_PANOPTIC_NAMES),
    ]
    sheets, _, _ = page_of(dict(png, pipeline=steps), tmp_path / 'with', limit=1)
    # Image, crayon map, ground truth.
    assert sheets[0].width == 1000
    # A segmenter whose weights are not there: the rest is drawn, and the page says so.
    steps[1] = dict(type=LoadPanoptic, segmenter=dict(type=HFPanoptic, pretrained='/no/weights'))
    sheets, page, count = page_of(dict(png, pipeline=steps), tmp_path / 'without', limit=2)
    assert sheets[0].width == 670 and count['shown'] == 2
    assert page.count('no crayon map: ') == 2


def test_questions_of_a_benchmark_are_seen_with_their_answers(toy, tmp_path):
    pope = dict(
        type=VQABenchmark,
        benchmark='pope',
        ann_file=f'{toy}/pope',
        image_root=f'{toy}/pope/val2014',
        pipeline=[dict(type=LoadImage), dict(type=PrepareLMMInputs, processor=dict(type='no.One'))],
    )
    _, page, count = page_of(pope, tmp_path, limit=2)
    assert count['shown'] == 2
    assert len(re.findall(r'Is there [^<]*\?\s*Reply with yes or no\.', page)) >= 2
    assert page.count('Annotated: yes') + page.count('Annotated: no') == 2


@pytest.fixture
def talk(tmp_path):
    """A conversation file: one about a picture, one about none."""
    Image.new('RGB', (40, 30), 'red').save(tmp_path / 'a.png')
    said = [{'from': 'human', 'value': 'What is it?'}, {'from': 'gpt', 'value': 'A field.'}]
    seen = [dict(said[0], value='<image>\nWhat is it?'), said[1]]
    entries = [{'id': '1', 'image': 'a.png', 'conversations': seen}]
    (tmp_path / 'talk.json').write_text(json.dumps(entries))
    entries.append({'id': '2', 'conversations': said})
    (tmp_path / 'mixed.json').write_text(json.dumps(entries))
    return tmp_path


WRITTEN = [
    dict(type=LoadImage, optional=True),
    dict(type=WriteTurns, marks=False),
    dict(type=NameImage),
]


@pytest.mark.parametrize('steps', [[], WRITTEN])
def test_talk_without_an_image_is_a_card_of_words(talk, tmp_path, steps):
    mixed = dict(
        type=LLaVAInstructDataset,
        ann_file=str(talk / 'mixed.json'),
        image_root=str(talk),
        pipeline=steps,
    )
    sheets, page, count = page_of(mixed, tmp_path / 'out')
    assert count == {'shown': 2, 'skipped': 0, 'total': 2}
    assert len(sheets) == 1 and page.count('has no image') == 1
    assert page.count('Assistant: A field.') == 2


def test_a_conversation_file_of_the_tiny_model_is_seen(talk, tmp_path):
    tiny = dict(
        type=LlavaConversations,
        data_root=str(talk),
        ann_file='talk.json',
        processor=str(Path(__file__).parents[2] / 'checkpoints/tiny_llava'),
    )
    sheets, page, count = page_of(tiny, tmp_path / 'out')
    assert count == {'shown': 1, 'skipped': 0, 'total': 1} and len(sheets) == 1
    assert 'Assistant: A field.' in page


def test_what_is_no_sample_is_refused_by_name(tmp_path):
    with pytest.raises(FLMMError, match='Letters gives str'):
        page_of(dict(type='Letters'), tmp_path)
