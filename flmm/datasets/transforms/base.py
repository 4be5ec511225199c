"""What all transforms share: skipped samples pass through, known failures skip the sample."""

from __future__ import annotations

from abc import ABC, abstractmethod

from flmm.structures import GroundingSample, SkippedSample
from flmm.utils.errors import AnnotationError, ImageError, UnsafeFileError

Item = GroundingSample | SkippedSample


def skip_reason(error: Exception) -> str:
    """The fixed word under which a failure is counted.

    Args:
        error: One of ``SKIPPING_ERRORS``.

    Returns:
        ``image_unreadable`` or ``annotation_invalid``.
    """
    return 'image_unreadable' if isinstance(error, ImageError) else 'annotation_invalid'


#: Failures of one sample's own files, which must not stop a training.
SKIPPING_ERRORS = (ImageError, AnnotationError, UnsafeFileError)


class Transform(ABC):
    """One step from a raw sample to what the system reads.

    A transform fills fields of the sample it is given and returns it. A ``SkippedSample``
    passes through untouched; a sample whose own image or annotation is broken becomes one, so
    that it is counted and reported, and never replaced by another.
    """

    def __call__(self, item: Item) -> Item:
        """Apply the step.

        Args:
            item: A sample, or one already skipped.

        Returns:
            The sample, or a ``SkippedSample`` in its place.
        """
        if isinstance(item, SkippedSample):
            return item
        try:
            return self.transform(item)
        except SKIPPING_ERRORS as error:
            return SkippedSample(
                item.sample_id,
                skip_reason(error),
                str(error),
                tuple(item.phrases),
                tuple(item.meta.get('references', ())),
            )

    @abstractmethod
    def transform(self, sample: GroundingSample) -> Item:
        """Fill fields of ``sample`` and return it."""
