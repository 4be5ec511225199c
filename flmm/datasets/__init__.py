"""Datasets in their real formats, and how their samples are prepared and batched."""

from .aokvqa import AOKVQADataset
from .base import GroundingDataset, PackedRecords
from .benchmarks import VQABenchmark
from .coco_captions import COCOCaptionDataset
from .collate import grounding_collate
from .concat import ConcatGrounding
from .expression_boxes import ExpressionBoxesDataset, ReferringBoxes
from .flickr30k_entities import Flickr30kGroundedCaptions
from .gqa import GQADataset
from .grand_f import GranDfDataset
from .grefcoco import GRefCOCODataset
from .image_safe import ImageSafe
from .instruction import InstructionDataset
from .llava_instruct import LLaVAInstructDataset
from .localized_narratives import LocalizedNarrativesDataset
from .mdetr import MDETRDataset
from .mixture import Mixture
from .multiple_choice_benchmarks import IconQADataset, SEEDBenchDataset
from .objects365 import Objects365Dataset
from .panoptic_questions import PanopticQuestionsDataset
from .png import PNGDataset
from .pointqa import PointQALocalDataset, PointQALookTwiceDataset
from .reason_seg import ReasonSegDataset
from .refcoco import RefCOCODataset
from .visual7w import Visual7WDataset
from .visual_genome import VisualGenomeDataset
from .vqa import VQADataset
from .vsr import VSRDataset

__all__ = [
    'AOKVQADataset',
    'COCOCaptionDataset',
    'ConcatGrounding',
    'ExpressionBoxesDataset',
    'Flickr30kGroundedCaptions',
    'GQADataset',
    'GRefCOCODataset',
    'GranDfDataset',
    'GroundingDataset',
    'IconQADataset',
    'ImageSafe',
    'InstructionDataset',
    'LLaVAInstructDataset',
    'Mixture',
    'Objects365Dataset',
    'LocalizedNarrativesDataset',
    'MDETRDataset',
    'PNGDataset',
    'PackedRecords',
    'PanopticQuestionsDataset',
    'PointQALocalDataset',
    'PointQALookTwiceDataset',
    'ReasonSegDataset',
    'RefCOCODataset',
    'ReferringBoxes',
    'SEEDBenchDataset',
    'VQADataset',
    'VSRDataset',
    'Visual7WDataset',
    'VisualGenomeDataset',
    'VQABenchmark',
    'grounding_collate',
]
