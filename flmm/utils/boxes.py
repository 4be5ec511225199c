"""Boxes, always in pixels; ``xyxy`` boxes exclude their right and bottom edge."""

from __future__ import annotations

Box = tuple[float, float, float, float]


def clip_xyxy(box: Box, height: float, width: float) -> Box:
    """Cut a box to an image.

    Args:
        box: ``(x0, y0, x1, y1)``.
        height: Of the image.
        width: Of the image.

    Returns:
        The part inside the image.
    """
    x0, y0, x1, y1 = box
    return (
        min(max(x0, 0.0), width),
        min(max(y0, 0.0), height),
        min(max(x1, 0.0), width),
        min(max(y1, 0.0), height),
    )


def xywh_to_xyxy(box: Box) -> Box:
    """Turn COCO's corner, width, height into two corners.

    Args:
        box: ``(x, y, width, height)``.

    Returns:
        ``(x0, y0, x1, y1)``.
    """
    x, y, width, height = box
    return (x, y, x + width, y + height)


def padded_box_xyxy(
    image_shape: tuple[int, int],
    content_shape: tuple[int, int],
    padded_shape: tuple[int, int],
    before: tuple[int, int],
) -> Box:
    """Where a padded canvas lies on the original image.

    The image was resized to ``content_shape`` and put on a canvas of ``padded_shape`` with
    ``before`` pixels above and left of it.

    Args:
        image_shape: ``(H, W)`` of the original image.
        content_shape: ``(h, w)`` of the resized image.
        padded_shape: ``(h, w)`` of the canvas.
        before: Padding ``(above, left)``.

    Returns:
        ``(x0, y0, x1, y1)`` in pixels of the original image; outside it where padded.
    """
    scale_y, scale_x = (image_shape[i] / content_shape[i] for i in (0, 1))
    return (
        -before[1] * scale_x,
        -before[0] * scale_y,
        (padded_shape[1] - before[1]) * scale_x,
        (padded_shape[0] - before[0]) * scale_y,
    )
