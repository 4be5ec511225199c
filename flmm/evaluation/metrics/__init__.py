"""mmengine metrics; importing this package registers them."""

from .mask_metric import MaskMetric
from .png import PNGMetric
from .res import RESMetric

__all__ = ['MaskMetric', 'PNGMetric', 'RESMetric']
