"""mmengine metrics; importing this package registers them."""

from .answers import AnswerMetric
from .board_reader import BoardBoxReader
from .box_readers import HeadBoxes, MaskBoxes, TextBoxes
from .caption import CaptionMetric
from .dense_caption import DenseCaptionMetric, PlacedCaptionMetric
from .entry_metric import EntryMetric
from .gcg import GCGMetric
from .gres import GRESMetric
from .keywords import KeywordMetric
from .mask_metric import MaskMetric
from .naming import NamingMetric
from .pink_rec import PinkRECMetric
from .png import PNGMetric
from .reason_seg import ReasonSegMetric
from .rec import RECMetric
from .res import RESMetric
from .vcr import VCRMetric
from .vqa import VQAMetric
from .word_location import WordLocationMetric

__all__ = [
    'AnswerMetric',
    'BoardBoxReader',
    'CaptionMetric',
    'DenseCaptionMetric',
    'EntryMetric',
    'GCGMetric',
    'GRESMetric',
    'HeadBoxes',
    'KeywordMetric',
    'MaskBoxes',
    'MaskMetric',
    'NamingMetric',
    'PNGMetric',
    'PinkRECMetric',
    'PlacedCaptionMetric',
    'RECMetric',
    'RESMetric',
    'ReasonSegMetric',
    'TextBoxes',
    'VCRMetric',
    'VQAMetric',
    'WordLocationMetric',
]
