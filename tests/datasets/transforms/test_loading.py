import numpy as np
import pytest
from PIL import Image

from flmm.datasets.transforms import BlurImage, LoadImage, LoadMasks
from flmm.structures import CocoMask, GroundingSample, PanopticMask, Phrase, SkippedSample

SQUARE = [[0, 0, 2, 0, 2, 2, 0, 2]]


@pytest.fixture
def image_path(tmp_path):
    Image.new('RGB', (6, 4), (9, 9, 9)).save(tmp_path / 'a.png')
    return str(tmp_path / 'a.png')


def test_image_and_shape_are_filled(image_path):
    sample = LoadImage()(GroundingSample('s', image_path=image_path))
    assert sample.image.mode == 'RGB' and sample.ori_shape == (4, 6)


def test_a_given_image_is_converted(image_path):
    sample = LoadImage()(GroundingSample('s', image=Image.new('L', (6, 4))))
    assert sample.image.mode == 'RGB' and sample.ori_shape == (4, 6)


def test_an_unreadable_image_skips_the_sample_and_keeps_its_phrases():
    phrases = [Phrase('a dog')]
    item = LoadImage()(GroundingSample('s', image_path='nowhere.jpg', phrases=phrases))
    assert isinstance(item, SkippedSample)
    assert (item.sample_id, item.reason) == ('s', 'image_unreadable')
    assert 'nowhere.jpg' in item.detail and item.phrases == tuple(phrases)
    assert LoadMasks()(item) is item


def test_masks_come_from_polygons_and_panoptic_segments(tmp_path, image_path):
    panoptic = Image.new('RGB', (6, 4))
    panoptic.putpixel((5, 3), (1, 1, 0))
    panoptic.putpixel((4, 3), (7, 0, 0))
    panoptic.save(tmp_path / 'p.png')
    path = str(tmp_path / 'p.png')
    phrases = [
        Phrase('a', CocoMask((SQUARE, [[3, 0, 5, 0, 5, 1, 3, 1]]))),
        Phrase('b', PanopticMask(path, (257, 7))),
        Phrase('c', PanopticMask(path, (7,))),
    ]
    sample = GroundingSample('s', image_path=image_path, phrases=phrases)
    sample = LoadMasks()(LoadImage()(sample))
    assert sample.gt_masks.shape == (3, 4, 6) and sample.gt_masks.dtype == bool
    assert sample.gt_masks.sum((1, 2)).tolist() == [6, 2, 1]
    assert sample.gt_masks[1, 3, 4:].all()


def test_samples_without_ground_truth_get_no_masks(image_path):
    sample = GroundingSample('s', image_path=image_path, phrases=[Phrase('a')])
    assert LoadMasks()(LoadImage()(sample)).gt_masks is None
    talk = LoadImage(optional=True)(GroundingSample('s'))
    assert LoadMasks()(talk).gt_masks is None


@pytest.mark.parametrize(
    'mask',
    [
        CocoMask(([[0, 0, 1]],)),
        CocoMask(({'size': [9, 9], 'counts': [81]},)),
        PanopticMask('absent.png', (1,)),
    ],
)
def test_unusable_masks_skip_the_sample(image_path, mask):
    sample = GroundingSample('s', image_path=image_path, phrases=[Phrase('a', mask)])
    item = LoadMasks()(LoadImage()(sample))
    assert isinstance(item, SkippedSample) and item.reason == 'annotation_invalid'


def test_a_panoptic_png_of_another_size_skips_the_sample(tmp_path, image_path):
    Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(tmp_path / 'p.png')
    phrases = [Phrase('a', PanopticMask(str(tmp_path / 'p.png'), (1,)))]
    sample = GroundingSample('s', image_path=image_path, phrases=phrases)
    item = LoadMasks()(LoadImage()(sample))
    assert item.reason == 'annotation_invalid' and '5x6' in item.detail


def test_the_order_of_transforms_is_checked():
    phrases = [Phrase('a', CocoMask((SQUARE,)))]
    with pytest.raises(ValueError, match='LoadImage'):
        LoadMasks()(GroundingSample('s', phrases=phrases))


def test_blurring_keeps_the_size_and_takes_detail():
    pixels = np.zeros((24, 48, 3), np.uint8)
    pixels[:, ::2] = 200
    sample = GroundingSample('s', image=Image.fromarray(pixels))
    out = BlurImage(12)(sample)
    assert out.image.size == (48, 24)
    # Four columns, half of them light, make one pixel.
    assert np.abs(np.asarray(out.image).astype(int) - 100).max() <= 1


def test_an_image_of_few_pixels_is_not_blurred():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8))
    out = BlurImage(12)(GroundingSample('s', image=image))
    assert np.array_equal(np.asarray(out.image), np.asarray(image))
