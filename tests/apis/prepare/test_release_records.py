import io
import json

import numpy as np
import pytest
from PIL import Image
from tfrecord_writer import example, framed

from flmm.apis.prepare import RecordFiles, merge_parts
from flmm.datasets import LocalizedNarrativesDataset, MDETRDataset
from flmm.datasets.llava_instruct import LLaVAInstructDataset
from flmm.datasets.region_captions import RegionCaptionDataset
from flmm.datasets.transforms import LoadImage, WriteTurns
from flmm.utils.errors import AnnotationError
from flmm.utils.masks import decode_rle


def picture(kind='JPEG', size=(40, 20)):
    file = io.BytesIO()
    Image.new('RGB', size, (200, 30, 30)).save(file, kind)
    return file.getvalue()


def mask_png():
    mask = np.zeros((20, 40), np.uint8)
    mask[5:10, 10:20] = 255
    file = io.BytesIO()
    Image.fromarray(mask).save(file, 'PNG')
    return file.getvalue(), mask > 0


def narrative(image_id=b'137576'):
    rng = np.random.default_rng(0)
    points = rng.random((2, 16, 2)).astype(np.float32)
    record = example(
        {
            'image/encoded': [picture()],
            'image/id': [image_id],
            'meta/dataset_id': [b'mscoco_val2017'],
            'caption/string': [b'A red ball on grass.', b'Grass.'],
        },
        {
            'caption/point': [points.flatten().tolist(), points[1].flatten().tolist()],
            'caption/utterance': [[b'A red ball', b'on grass.'], [b'Grass.']],
        },
    )
    return record, points


def regions(**changes):
    features = {
        'image': [picture()],
        'img_id': [7],
        # y0, x0, y1, x1 of the image.
        'regions/bbox': [0.25, 0.25, 0.5, 0.5, 0.0, 0.0, 1.0, 1.0],
        'regions/id': [70, 71],
        'regions/phrase': [b'a red ball', b'grass'],
    }
    return example(features | changes)


def expressions(**changes):
    png, _ = mask_png()
    features = {
        'image': [picture('PNG')],
        'image/id': [9],
        'objects/id': [90, 91],
        'objects/bbox': [0.25, 0.25, 0.5, 0.5, 0.0, 0.0, 1.0, 1.0],
        'objects/mask': [png, png],
        'objects/refexp/refexp_id/ragged_row_lengths_0': [2, 1],
        'objects/refexp/refexp_id/ragged_flat_values': [1, 2, 3],
        'objects/refexp/sent/ragged_flat_values': [b'red ball', b'a ball on grass', b'grass'],
        'objects/refexp/sent_pos/ragged_flat_values': [b'red ball', b'a ball', b'grass'],
    }
    merged = features | changes
    return example({name: values for name, values in merged.items() if values is not None})


def conversation(**changes):
    features = {
        'image/encoded': [picture()],
        'image/id': [b'000000033471'],
        'conversations/human': [b'<image>\nWhat is it?', b'Where?'],
        'conversations/agent': [b'A ball.', b'On grass.'],
    }
    return example(features | changes)


def converted(tmp_path, *records):
    source = tmp_path / 'train.tfrecord-00000-of-00001'
    source.write_bytes(framed(records))
    out = tmp_path / 'out'
    out.mkdir(exist_ok=True)
    summary = RecordFiles().convert(source, out)
    merged = merge_parts(sorted((out / 'parts').iterdir()), out)
    assert merged['kind'] == summary['kind'] and summary['images'] == len(records)
    return out, merged['entries']


def test_narratives_come_back_with_the_traces_of_the_records(tmp_path):
    record, points = narrative()
    out, entries = converted(tmp_path, record)
    data = LocalizedNarrativesDataset(str(out / 'narratives.jsonl'), str(out / 'images'))
    assert entries == len(data) == 2
    sample = data.read_sample(0)
    assert Image.open(sample.image_path).size == (40, 20)
    assert [phrase.text for phrase in sample.phrases] == ['A', 'red', 'ball', 'on', 'grass.']
    for phrase in sample.phrases:
        trace = points[phrase.meta['utterance']]
        assert np.allclose(phrase.meta['trace'], trace, atol=1e-6)
        assert np.allclose(phrase.meta['box'], [*trace.min(0), *trace.max(0)], atol=1e-6)


def test_regions_come_back_in_pixels(tmp_path):
    out, _ = converted(tmp_path, regions())
    data = RegionCaptionDataset(str(out / 'regions.json'), str(out / 'images'))
    found = {region.meta['caption']: region for region in data.read_sample(0).regions}
    assert found['a red ball'].box_xyxy == (10, 5, 20, 10)
    assert found['grass'].box_xyxy == (0, 0, 40, 20)


def test_expressions_come_back_with_boxes_masks_and_spans(tmp_path):
    out, _ = converted(tmp_path, expressions())
    content = json.loads((out / 'expressions.json').read_text())
    _, mask = mask_png()
    assert (decode_rle(content['annotations'][0]['segmentation'], (20, 40)) == mask).all()
    data = MDETRDataset(str(out / 'expressions.json'), str(out / 'images'))
    sample = data.read_sample(0)
    assert [phrase.text for phrase in sample.phrases] == ['red ball', 'a ball', 'grass']
    assert sample.phrases[1].meta['box_xyxy'] == [10, 5, 20, 10]


def test_uninext_s_records_have_neither_masks_nor_spans(tmp_path):
    left_out = ('objects/mask', 'objects/refexp/sent_pos/ragged_flat_values')
    out, _ = converted(tmp_path, expressions(**dict.fromkeys(left_out)))
    content = json.loads((out / 'expressions.json').read_text())
    assert not any('segmentation' in entry for entry in content['annotations'])
    sample = MDETRDataset(str(out / 'expressions.json'), str(out / 'images')).read_sample(0)
    assert [p.text for p in sample.phrases] == ['red ball', 'a ball on grass', 'grass']


def test_conversations_come_back(tmp_path):
    out, entries = converted(tmp_path, conversation())
    data = LLaVAInstructDataset(
        str(out / 'conversations.json'), str(out / 'images'), pipeline=[LoadImage(), WriteTurns()]
    )
    assert entries == 1 and [turn.answer for turn in data[0].turns] == ['A ball.', 'On grass.']


def test_conversations_of_a_mix_keep_their_own_images(tmp_path):
    # Two data sets of the mix count alike, and one has folders in its ids.
    ids = (b'2354786', b'2354786', b'VG_100K/2')
    sizes = ((40, 20), (8, 8), (6, 7))
    records = [
        conversation(**{'image/id': [name], 'image/encoded': [picture(size=size)]})
        for name, size in zip(ids, sizes, strict=True)
    ]
    out, entries = converted(tmp_path, *records)
    content = json.loads((out / 'conversations.json').read_text())
    assert entries == 3 and [one['id'] for one in content] == [name.decode() for name in ids]
    assert [Image.open(out / 'images' / one['image']).size for one in content] == list(sizes)


@pytest.mark.parametrize(
    ('record', 'problem'),
    [
        (example({'x': [1]}), 'no kind'),
        (regions(**{'regions/id': [70]}), 'zip'),
        (regions(**{'regions/bbox': [0.5] * 7}), 'reshape'),
        (regions(**{'regions/bbox': [float('nan')] * 8}), 'nan'),
        (regions(image=[7]), 'bytes of an image'),
        (regions(image=[]), 'list index'),
        (narrative(b'../../x')[0], 'no plain name'),
        (narrative(b'a/b')[0], 'no plain name'),
        (conversation(**{'image/encoded': [7]}), 'buffer'),
        (expressions(**{'objects/refexp/refexp_id/ragged_row_lengths_0': [2, 2]}), 'fewer'),
        (expressions(**{'objects/refexp/refexp_id/ragged_row_lengths_0': [1, 1]}), 'more'),
        (expressions(image=[picture(size=(8, 8))]), 'does not fit'),
    ],
)
def test_a_record_that_does_not_fit_is_named(tmp_path, record, problem):
    with pytest.raises(AnnotationError, match=problem) as caught:
        converted(tmp_path, record)
    assert 'record 0' in str(caught.value)
    assert not list(tmp_path.glob('*.jpg'))


@pytest.mark.parametrize('kind', ['GIF', 'BMP', 'WEBP', 'TIFF'])
def test_images_of_other_formats_become_png(tmp_path, kind):
    out, _ = converted(tmp_path, regions(image=[picture(kind)]), regions(img_id=[8]))
    assert sorted(path.name for path in (out / 'images').iterdir()) == ['7.png', '8.jpg']
    with Image.open(out / 'images/7.png') as image:
        assert (image.format, image.size) == ('PNG', (40, 20))
        # WebP loses a little.
        assert np.abs(np.array(image, int) - (200, 30, 30)).max() <= 6
    data = RegionCaptionDataset(str(out / 'regions.json'), str(out / 'images'))
    found = {region.meta['caption']: region.box_xyxy for region in data.read_sample(0).regions}
    assert len(data) == 2 and found['a red ball'] == (10, 5, 20, 10)


def test_records_without_a_readable_image_are_counted_by_name_and_the_rest_goes_on(tmp_path):
    records = [
        regions(image=[b'\xff\xd8 broken'], img_id=[6]),
        regions(image=[picture('GIF')]),
        regions(image=[b'<html>not found'], img_id=[8]),
        regions(img_id=[9]),
    ]
    source = tmp_path / 'x.tfrecord'
    source.write_bytes(framed(records))
    summary = RecordFiles().convert(source, tmp_path)
    assert (summary['kind'], summary['images'], summary['transcoded']) == ('regions', 2, 1)
    assert summary['unreadable'] == 2
    first, second = summary['unreadable_records']
    assert first.startswith('record 0: 6.jpg cannot be decoded')
    assert second.startswith('record 2: 8.png cannot be decoded')
    assert sorted(path.name for path in (tmp_path / 'images').iterdir()) == ['7.png', '9.jpg']
    merge_parts(sorted((tmp_path / 'parts').iterdir()), tmp_path)
    content = json.loads((tmp_path / 'regions.json').read_text())
    assert [image['id'] for image in content['images']] == [7, 9]


def test_a_broken_mask_costs_its_record_alone(tmp_path):
    source = tmp_path / 'x.tfrecord'
    broken = expressions(**{'objects/mask': [b'no', b'mask'], 'image/id': [3]})
    source.write_bytes(framed([broken, expressions()]))
    summary = RecordFiles().convert(source, tmp_path)
    assert summary['images'] == 1 and 'record 0: a mask' in summary['unreadable_records'][0]


def test_kinds_are_not_mixed(tmp_path):
    with pytest.raises(AnnotationError, match='several kinds'):
        converted(tmp_path, regions(), conversation())
    (tmp_path / 'a.jsonl').write_text('')
    with pytest.raises(AnnotationError, match='one kind'):
        merge_parts([tmp_path / 'a.jsonl'], tmp_path)
