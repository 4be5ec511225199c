"""Opening images from outside: a fixed list of formats, bounds on size, memory and time."""

from __future__ import annotations

import binascii
import io
import os
import stat
import struct
import time
import zlib

import numpy as np
from PIL import Image, ImageOps

from .errors import ImageError

#: Formats that images may have; PIL's rarer decoders (FITS, PSD, EPS, ...) stay out of reach.
IMAGE_FORMATS = ('JPEG', 'PNG', 'BMP', 'GIF', 'TIFF', 'WEBP', 'PPM')

#: Largest image in pixels. Decoded and converted it takes 8 bytes for each, 400 MB in all.
MAX_IMAGE_PIXELS = 50_000_000

#: Lower bounds for formats whose decoder keeps several whole pictures in memory.
FORMAT_PIXELS = {'WEBP': 20_000_000}

#: Largest image file in bytes.
MAX_IMAGE_BYTES = 100 * 1024**2

#: Most scans of a progressive JPEG: each costs a pass over all pixels, inside one call of libjpeg
#: that nothing can interrupt. Cameras and editors write about ten.
MAX_JPEG_SCANS = 100

#: Longest time that decoding one image may take, in seconds.
DECODE_SECONDS = 30.0

# What PIL's decoders are known to raise on broken files, besides OSError.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    binascii.Error,
    Image.DecompressionBombError,
)

_FIX = 'Replace or remove the file; a data set counts it as skipped and goes on without it.'
_ROWS = 256


class _TimedBytes(io.BytesIO):
    """A file in memory that refuses to be read after a moment; decoders read piece by piece.

    Being no file of the disk, it also keeps PIL from mapping one, which crashes where the file
    is shorter than its header says.
    """

    def __init__(self, content: bytes, seconds: float) -> None:
        super().__init__(content)
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on, while there is time.

        Raises:
            TimeoutError: There is none left.
        """
        if time.monotonic() > self._end:
            raise TimeoutError(f'decoding takes longer than {self._seconds:g} s')
        return super().read(size)


def open_image(
    path: str | os.PathLike,
    *,
    exif: bool = False,
    max_pixels: int = MAX_IMAGE_PIXELS,
    max_seconds: float = DECODE_SECONDS,
) -> Image.Image:
    """Read an image file completely, as RGB.

    Conversion: grey, CMYK, palette and alpha images go through PIL's ``convert('RGB')`` (alpha
    is dropped, not blended, as the releases of the systems do); 16-bit grey is scaled to 8 bit.
    Of an animation the first frame is taken.

    Args:
        path: The file.
        exif: Turn the image as its EXIF orientation says. Right for people's photographs,
            wrong for data sets, whose masks are drawn on the stored pixels.
        max_pixels: Largest width times height; ``FORMAT_PIXELS`` may lower it.
        max_seconds: Longest time that decoding may take.

    Returns:
        The image, mode ``RGB``.

    Raises:
        ImageError: It is missing, no ordinary file, of no format in ``IMAGE_FORMATS``, truncated
            or broken, larger than the bounds, or takes too long; the file is named.
    """
    return decode_image(
        _read_bounded(path), path, exif=exif, max_pixels=max_pixels, max_seconds=max_seconds
    )


def decode_image(
    content: bytes,
    path: str | os.PathLike,
    *,
    exif: bool = False,
    max_pixels: int = MAX_IMAGE_PIXELS,
    max_seconds: float = DECODE_SECONDS,
) -> Image.Image:
    """Decode an image that lies in a larger file, with the bounds of :func:`open_image`.

    Args:
        content: The image's own bytes.
        path: The file that they come from, for errors.
        exif: See :func:`open_image`.
        max_pixels: See :func:`open_image`.
        max_seconds: See :func:`open_image`.

    Returns:
        The image, mode ``RGB``.

    Raises:
        ImageError: See :func:`open_image`.
    """
    if content.startswith(b'\xff\xd8'):
        # Inside compressed data a 0xFF is never followed by 0xDA: this counts no scan too few.
        scans = content.count(b'\xff\xda')
        if scans > MAX_JPEG_SCANS:
            raise ImageError(
                path, f'is a JPEG of {scans} scans, more than {MAX_JPEG_SCANS}.', fix=_FIX
            )
    try:
        with Image.open(_TimedBytes(content, max_seconds), formats=IMAGE_FORMATS) as image:
            del content
            width, height = image.size
            limit = min(max_pixels, FORMAT_PIXELS.get(image.format or '', max_pixels))
            if width * height > limit:
                raise ImageError(
                    path,
                    f'has {width}x{height} pixels, more than {limit} ({image.format}).',
                    fix='Make it smaller; decoding it would take too much memory.',
                )
            image.load()
            if exif:
                image = ImageOps.exif_transpose(image)
            return to_rgb(image)
    except ImageError:
        raise
    except _DECODE_ERRORS as error:
        problem = str(error) or type(error).__name__
        # PIL names the object in memory, which says nothing to anybody.
        if 'cannot identify image file' in problem:
            problem = f'it is no {", ".join(IMAGE_FORMATS)} file'
        raise ImageError(path, f'cannot be decoded: {problem}.', fix=_FIX) from error


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """Width and height as an image's header says; nothing is decoded.

    Args:
        path: The file.

    Raises:
        ImageError: It is missing, no ordinary file, or of no format in ``IMAGE_FORMATS``.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ImageError(path, 'is no ordinary file.', fix=_FIX)
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            return image.size
    except ImageError:
        raise
    except _DECODE_ERRORS as error:
        raise ImageError(path, f'its size cannot be read: {error}.', fix=_FIX) from error


def _read_bounded(path: str | os.PathLike) -> bytes:
    try:
        status = os.stat(path)
        # A pipe would be waited for without end, a device read without end.
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(path, 'is no ordinary file.', fix=_FIX)
        if status.st_size > MAX_IMAGE_BYTES:
            raise ImageError(
                path, f'has {status.st_size} bytes, more than {MAX_IMAGE_BYTES}.', fix=_FIX
            )
        with open(path, 'rb') as file:
            return file.read(MAX_IMAGE_BYTES)
    except FileNotFoundError as error:
        raise ImageError(path, 'no such file.', fix='Is the image root right?') from error
    except OSError as error:
        raise ImageError(path, f'cannot be read: {error.strerror or error}.') from error
    except ValueError as error:  # a NUL in the name
        raise ImageError(repr(path), f'is no file name: {error}.') from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB, see :func:`open_image`.

    Args:
        image: Image of any mode.

    Returns:
        The image itself if it is RGB, else a converted one.

    Raises:
        ValueError: A float image, whose scale nobody knows.
    """
    if image.mode == 'RGB':
        return image
    if image.mode == 'F':
        raise ValueError('a float image has no defined range; save it with 8 or 16 bits')
    if image.mode.startswith('I'):
        # 16-bit files open as "I;16" or "I"; convert('RGB') would clip them to white.
        levels = np.asarray(image)
        grey = np.empty(levels.shape, np.uint8)
        # Row by row: the whole picture as float64 would take eight times its memory.
        for top in range(0, len(levels), _ROWS):
            part = levels[top : top + _ROWS].astype(np.float64)
            grey[top : top + _ROWS] = np.clip(np.rint(part / 257), 0, 255)
        return Image.fromarray(grey).convert('RGB')
    return image.convert('RGB')
