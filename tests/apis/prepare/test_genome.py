import json

import pytest

from flmm.apis.prepare import genome_splits
from flmm.datasets.region_captions import RegionCaptionDataset
from flmm.utils.errors import AnnotationError


def region(number, image_id, box, phrase='a red ball'):
    x, y, width, height = box
    place = dict(x=x, y=y, width=width, height=height)
    return dict(region_id=number, image_id=image_id, phrase=phrase, **place)


@pytest.fixture
def files(tmp_path):
    content = dict(
        region_descriptions=[
            {
                'id': 1,
                'regions': [
                    region(10, 1, (2, 3, 10, 20)),
                    region(11, 1, (-5, 10, 20, 100)),
                    region(12, 1, (50, 3, 10, 20)),
                    region(13, 1, (2, 3, 10, 20), '  '),
                ],
            },
            {'id': 2, 'regions': [region(20, 2, (0, 0, 5, 5), 'grass ')]},
            {'id': 3, 'regions': []},
        ],
        image_data=[{'image_id': i, 'width': 40, 'height': 30} for i in (1, 2, 3)],
        densecap_splits={'train': [1, 3], 'test': [2]},
    )

    def write(**changes):
        paths = []
        for name, value in (content | changes).items():
            paths.append(tmp_path / f'{name}.json')
            paths[-1].write_text(json.dumps(value))
        return paths

    return write


def test_each_split_is_a_file_of_regions(files, tmp_path):
    counts = genome_splits(*files(), tmp_path)
    assert counts == dict(no_area=1, no_words=1, no_regions=1, train=2, test=1)
    train = json.loads((tmp_path / 'train.json').read_text())
    assert [entry['bbox'] for entry in train['annotations']] == [[2, 3, 10, 20], [0, 10, 15, 20]]
    assert [image['id'] for image in train['images']] == [1, 3]
    data = RegionCaptionDataset(str(tmp_path / 'test.json'), 'VG_100K')
    sample = data.read_sample(0)
    assert sample.regions[0].meta['caption'] == 'grass'
    assert sample.image_path.endswith('VG_100K/2.jpg')


@pytest.mark.parametrize(
    ('changes', 'problem'),
    [
        (dict(densecap_splits={'train': [1], 'test': [1]}), 'is in train and test'),
        (dict(densecap_splits={'train': [4]}), 'has no size'),
        (dict(densecap_splits={'../up': [1]}), 'no name'),
        (dict(densecap_splits=[1]), 'image ids'),
        (dict(image_data=[{'image_id': 1}]), 'no image_data'),
        (dict(region_descriptions=[{'regions': [{'phrase': 'x'}]}]), 'no region_descriptions'),
        (
            dict(region_descriptions=[{'regions': [region(1, 1, (float('nan'), 0, 1, 1))]}]),
            'region 1 has the box',
        ),
    ],
)
def test_other_forms_are_errors(files, tmp_path, changes, problem):
    with pytest.raises(AnnotationError, match=problem):
        genome_splits(*files(**changes), tmp_path)
