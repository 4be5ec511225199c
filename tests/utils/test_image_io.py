"""Images that are broken, bombs or no images: a typed error that names the file, in little time."""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flmm.utils import image_io
from flmm.utils.errors import ImageError

ROOT = Path(__file__).parents[2]


def png_chunk(kind, content):
    """A chunk of a PNG, with length and checksum."""
    checksum = struct.pack('>I', zlib.crc32(kind + content))
    return struct.pack('>I', len(content)) + kind + content + checksum


def png_of_zeros(width, height):
    """A grey PNG of that size in a few kilobytes: what a bomb is."""
    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    packer, rows = zlib.compressobj(9), bytes(width + 1)
    data = b''.join(packer.compress(rows) for _ in range(height)) + packer.flush()
    body = png_chunk(b'IHDR', header) + png_chunk(b'IDAT', data) + png_chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + body


def noise(width=64, height=48):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def test_a_small_file_of_many_pixels_is_refused_before_decoding(tmp_path):
    path = tmp_path / 'bomb.png'
    path.write_bytes(png_of_zeros(8000, 8000))
    assert path.stat().st_size < 100_000
    with pytest.raises(ImageError, match=r'bomb\.png: has 8000x8000 pixels, more than 50000000'):
        image_io.open_image(path)
    assert image_io.open_image(path, max_pixels=8000 * 8000).size == (8000, 8000)


def test_formats_whose_decoder_needs_more_memory_have_a_lower_bound(tmp_path):
    path = tmp_path / 'large.webp'
    Image.new('RGB', (5001, 4000)).save(path)
    with pytest.raises(ImageError, match='more than 20000000'):
        image_io.open_image(path)


def test_a_jpeg_of_endless_scans_is_refused(tmp_path):
    path = tmp_path / 'scans.jpg'
    noise().save(path, progressive=True)
    assert image_io.open_image(path).size == (64, 48)
    content = path.read_bytes()
    # One scan is a few bytes of the file and a pass over all pixels for the decoder.
    start = content.rindex(b'\xff\xda')
    scan = content[start:-2]
    path.write_bytes(content[:-2] + scan * 200 + content[-2:])
    with pytest.raises(ImageError, match=r'scans\.jpg: is a JPEG of 2\d\d scans'):
        image_io.open_image(path)


def test_a_decoder_that_takes_too_long_is_stopped(tmp_path):
    path = tmp_path / 'slow.png'
    noise(600, 600).save(path)
    with pytest.raises(ImageError, match=r'slow\.png: cannot be decoded: decoding takes longer'):
        image_io.open_image(path, max_seconds=-1)


def test_pipes_folders_devices_and_names_that_are_none_are_refused(tmp_path):
    os.mkfifo(tmp_path / 'pipe.jpg')
    for path in (tmp_path / 'pipe.jpg', tmp_path, '/dev/zero'):
        with pytest.raises(ImageError, match='no ordinary file'):
            image_io.open_image(path)
    with pytest.raises(ImageError, match='no file name'):
        image_io.open_image('a\0b.jpg')


def test_a_file_of_too_many_bytes_is_not_read(tmp_path):
    path = tmp_path / 'huge.png'
    with open(path, 'wb') as file:
        file.truncate(image_io.MAX_IMAGE_BYTES + 1)
    with pytest.raises(ImageError, match=r'huge\.png: has 104857601 bytes'):
        image_io.open_image(path)


def test_rarer_formats_are_out_of_reach_and_the_error_lists_the_others(tmp_path):
    path = tmp_path / 'a.png'
    noise().save(path, format='PCX')
    with pytest.raises(ImageError, match='it is no JPEG, PNG, BMP, GIF, TIFF, WEBP, PPM file'):
        image_io.open_image(path)


@pytest.mark.parametrize('suffix', ['gif', 'tiff', 'bmp', 'webp', 'ppm'])
def test_other_formats_open_and_their_broken_files_are_named(tmp_path, suffix):
    path = tmp_path / f'a.{suffix}'
    noise().save(path)
    assert image_io.open_image(path).size == (64, 48)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    with pytest.raises(ImageError, match=rf'a\.{suffix}'):
        image_io.open_image(path)


def test_the_size_of_an_image_is_read_without_its_pixels(tmp_path):
    path = tmp_path / 'a.jpg'
    noise = np.random.default_rng(0).integers(0, 255, (170, 310, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])  # cut: no decoder would take it
    with pytest.raises(ImageError):
        image_io.open_image(path)
    assert image_io.image_size(path) == (310, 170)
    (tmp_path / 'b.jpg').write_text('no image')
    for name in ('b.jpg', 'none.jpg', '.'):
        with pytest.raises(ImageError) as caught:
            image_io.image_size(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_16_bit_images_are_scaled_row_by_row_like_the_whole(tmp_path):
    levels = np.arange(600 * 200, dtype=np.uint32).reshape(600, 200) % 65_536
    path = tmp_path / 'deep.png'
    Image.fromarray(levels.astype(np.uint16)).save(path)
    red = np.asarray(image_io.open_image(path))[..., 0]
    assert (red == np.rint(levels / 257)).all()


def test_hostile_files_give_typed_errors_in_bounded_memory(tmp_path):
    """The short version; ``benchmarks/robustness/hostile_images.py --files 1000`` is the long."""
    script = ROOT / 'benchmarks/robustness/hostile_images.py'
    command = [sys.executable, str(script), '--files', '60', '--folder', str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert '0 crashes, 0 hangs, 0 errors without the file' in result.stdout


def test_bytes_out_of_a_larger_file_are_decoded_with_the_same_bounds(tmp_path):
    path = tmp_path / 'a.png'
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(path)
    content = path.read_bytes()
    assert image_io.decode_image(content, 'shard.tfrecord').tobytes() == (
        image_io.open_image(path).tobytes()
    )
    with pytest.raises(ImageError, match=r'shard\.tfrecord.*more than 11'):
        image_io.decode_image(content, 'shard.tfrecord', max_pixels=11)
    with pytest.raises(ImageError, match=r'shard\.tfrecord.*cannot be decoded'):
        image_io.decode_image(content[:40], 'shard.tfrecord')
