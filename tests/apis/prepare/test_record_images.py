import io

import numpy as np
import pytest
from PIL import Image

from flmm.apis.prepare import record_images
from flmm.apis.prepare.record_images import RecordImages
from flmm.utils.errors import ImageError

PIXELS = np.array([[[0, 0, 0], [255, 0, 0], [0, 0, 255]]] * 2, np.uint8)


def encoded(kind, image=None):
    file = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(('kind', 'file'), [('JPEG', '1.jpg'), ('PNG', '1.png')])
def test_jpeg_and_png_are_written_byte_by_byte(tmp_path, kind, file):
    images = RecordImages(tmp_path)
    content = encoded(kind)
    assert images.save(content, '1') == (file, 3, 2) and images.transcoded == 0
    assert (tmp_path / file).read_bytes() == content


def test_the_first_frame_of_an_animation_is_kept_without_loss(tmp_path):
    frames = [Image.fromarray(PIXELS), Image.new('RGB', (3, 2), 'white')]
    file = io.BytesIO()
    frames[0].save(file, 'GIF', save_all=True, append_images=frames[1:])
    images = RecordImages(tmp_path)
    assert images.save(file.getvalue(), '1') == ('1.png', 3, 2) and images.transcoded == 1
    assert (np.array(Image.open(tmp_path / '1.png')) == PIXELS).all()


def test_what_cannot_be_read_leaves_no_file_and_spares_the_one_that_is_there(tmp_path, monkeypatch):
    images, content = RecordImages(tmp_path), encoded('JPEG')
    images.save(content, '1')
    with pytest.raises(ImageError, match=r'1\.jpg'):
        images.save(content[:200], '1')
    with pytest.raises(ImageError, match=r'2\.png'):
        images.save(b'', '2')
    monkeypatch.setattr(record_images, 'MAX_IMAGE_BYTES', 50)
    with pytest.raises(ImageError, match='more than 50'):
        images.save(content, '3')
    assert [path.name for path in tmp_path.iterdir()] == ['1.jpg'] and images.transcoded == 0
    assert (tmp_path / '1.jpg').read_bytes() == content


@pytest.mark.parametrize('name', ['../1', 'a/b', '', '.1', '1\n'])
def test_a_name_stays_a_name(tmp_path, name):
    with pytest.raises(ValueError, match='no plain name'):
        RecordImages(tmp_path / 'x').save(encoded('PNG'), name)
    assert not list(tmp_path.iterdir())
