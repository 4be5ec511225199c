"""Region extractors: levels of a vision tower and regions -> one vector per region."""

from .box_means import box_means, cells_inside, watched_box_means
from .multi_level import MultiLevelRoIQuery
from .shape_pooling import ShapePooling

__all__ = [
    'MultiLevelRoIQuery',
    'ShapePooling',
    'box_means',
    'cells_inside',
    'watched_box_means',
]
