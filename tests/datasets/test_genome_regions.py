"""Visual Genome's region descriptions as records with captioned annotations."""

import pytest
from region_files import write_json

from flmm.datasets.genome_regions import read_region_descriptions
from flmm.utils.errors import AnnotationError

REGION = {
    'region_id': 4,
    'image_id': 9,
    'x': 1,
    'y': 2,
    'width': 30,
    'height': 40,
    'phrase': 'a red hat',
}


def test_sizes_come_from_image_data_in_its_old_and_new_form(tmp_path):
    content = [
        {'id': 9, 'regions': [REGION]},
        # Without an id of its own the image is that of its regions.
        {'regions': [{**REGION, 'image_id': 8}]},
        {'id': 7, 'regions': [REGION]},
        {'id': 6, 'regions': []},
    ]
    sizes = [{'image_id': 9, 'width': 50, 'height': 60}, {'id': 8, 'width': 70, 'height': 80}]
    records = read_region_descriptions(
        write_json(tmp_path / 'r.json', content), write_json(tmp_path / 's.json', sizes)
    )
    assert [(r['file_name'], r['width'], r['height']) for r in records] == [
        ('9.jpg', 50, 60),
        ('8.jpg', 70, 80),
        ('7.jpg', None, None),
    ]
    assert records[0]['annotations'] == [{'id': 4, 'bbox': [1, 2, 30, 40], 'caption': 'a red hat'}]


@pytest.mark.parametrize(
    ('content', 'sizes', 'message'),
    [
        ([{'regions': [{}]}], [], 'no region_descriptions'),
        ([{'id': 9, 'regions': [REGION]}], [{'image_id': 9}], 'no image_data'),
    ],
)
def test_another_format_is_named(tmp_path, content, sizes, message):
    with pytest.raises(AnnotationError, match=message):
        read_region_descriptions(
            write_json(tmp_path / 'r.json', content), write_json(tmp_path / 's.json', sizes)
        )
