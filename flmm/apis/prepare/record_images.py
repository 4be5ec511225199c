"""Images that lie in records as files that every reader opens."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from PIL import Image

from flmm.engine.atomic_write import write_atomically
from flmm.utils.errors import ImageError
from flmm.utils.image_io import MAX_IMAGE_BYTES, decode_image

_NAME = re.compile(r'[A-Za-z0-9][\w-]*\Z')
_SUFFIXES = {b'\xff\xd8': '.jpg', b'\x89P': '.png'}


class RecordImages:
    """Writes images to a folder: JPEG and PNG as they are, other formats as PNG.

    Args:
        folder: Where to.

    Attributes:
        transcoded: How many were neither JPEG nor PNG.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.transcoded = folder, 0

    def save(self, content: Any, name: str) -> tuple[str, int, int]:
        """Write an image.

        Args:
            content: Its bytes.
            name: Of the file, without suffix.

        Returns:
            Name of the file, width and height.

        Raises:
            ValueError: These are no bytes, or the name is none.
            ImageError: It cannot be decoded, or is too large; no file is written.
        """
        if not isinstance(content, bytes):
            raise ValueError(f'expected bytes of an image, got {content!r:.40}')
        # The name comes from the record and must stay a name.
        if not _NAME.match(name):
            raise ValueError(f'an image is called {name!r:.60}, which is no plain name')
        suffix = _SUFFIXES.get(content[:2])
        file = name + (suffix or '.png')
        image = decode_image(content, self.folder / file)
        if suffix is None:
            content = _as_png(image)
        if len(content) > MAX_IMAGE_BYTES:
            raise ImageError(
                self.folder / file, f'has {len(content)} bytes, more than {MAX_IMAGE_BYTES}.'
            )
        write_atomically(self.folder / file, lambda written: written.write(content))
        self.transcoded += suffix is None
        return file, *image.size


def _as_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, 'PNG')
    return file.getvalue()
