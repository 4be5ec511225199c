import json

import numpy as np
import pytest
from PIL import Image

from flmm.models.segmenters import PanopticFiles
from flmm.structures import GroundingSample, Segment
from flmm.utils.errors import AnnotationError


@pytest.fixture
def files(tmp_path):
    """A panoptic annotation of one image of 2 x 2 pixels: segments 5 and 65536 + 300."""
    ids = np.array([[5, 5], [0, 65836]])
    pixels = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / '1.png')
    segments = [{'id': 5, 'category_id': 17}, {'id': 65836, 'category_id': 1}]
    content = {
        'images': [{'id': 9, 'file_name': 'train/1.jpg'}],
        'annotations': [{'image_id': 9, 'file_name': '1.png', 'segments_info': segments}],
        'categories': [{'id': 1, 'name': 'person'}, {'id': 17, 'name': 'cat'}],
    }
    (tmp_path / 'panoptic.json').write_text(json.dumps(content))
    return str(tmp_path / 'panoptic.json'), str(tmp_path)


def test_an_image_gets_the_map_that_people_drew(files):
    segmenter = PanopticFiles(*files)
    found = segmenter(GroundingSample('x', image_path='anywhere/1.jpg'))
    assert found.ids.tolist() == [[5, 5], [0, 65836]]
    assert found.segments == (Segment(5, 1), Segment(65836, 0))
    assert segmenter.class_names == ('person', 'cat')


def test_classes_may_be_put_in_another_order(files):
    segmenter = PanopticFiles(*files, category_ids=(17, 1))
    assert segmenter.class_names == ('cat', 'person')
    found = segmenter(GroundingSample('x', image_path='1.jpg'))
    assert found.segments == (Segment(5, 0), Segment(65836, 1))


def test_a_control_gives_each_image_the_map_of_another(files, tmp_path):
    content = json.loads((tmp_path / 'panoptic.json').read_text())
    content['images'].append({'id': 8, 'file_name': '000000000008.jpg'})
    content['annotations'].append({'image_id': 8, 'file_name': '8.png', 'segments_info': []})
    (tmp_path / 'panoptic.json').write_text(json.dumps(content))
    Image.new('RGB', (3, 1)).save(tmp_path / '8.png')
    own, other = PanopticFiles(*files), PanopticFiles(*files, shift=1)
    # COCO's names of 2014 end with what the images have been called since.
    name = 'val2014/COCO_val2014_000000000008.jpg'
    assert own(GroundingSample('x', image_path=name)).ids.shape == (1, 3)
    assert other(GroundingSample('x', image_path=name)).ids.shape == (2, 2)
    assert other(GroundingSample('x', image_path='1.jpg')).segments == ()


def test_what_is_not_annotated_is_an_error(files, tmp_path):
    with pytest.raises(AnnotationError, match="no annotation of the image '2.jpg'"):
        PanopticFiles(*files)(GroundingSample('x', image_path='2.jpg'))
    with pytest.raises(AnnotationError, match='category 17'):
        PanopticFiles(*files, category_ids=(1,))(GroundingSample('x', image_path='1.jpg'))
    (tmp_path / 'other.json').write_text('{"images": []}')
    with pytest.raises(AnnotationError, match='no COCO panoptic|not a COCO panoptic'):
        PanopticFiles(str(tmp_path / 'other.json'), str(tmp_path))
