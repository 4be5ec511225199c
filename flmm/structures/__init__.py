"""What passes between the stages: plain dataclasses that import nothing else of flmm."""

from .caption_inputs import CaptionInputs, CaptionTask
from .conversation import REGION_PLACEHOLDER, Region, RegionInputs, Turn
from .grounding_sample import (
    CocoMask,
    GroundingSample,
    PanopticMask,
    Phrase,
    SkippedSample,
    TextPiece,
)
from .image_grid import ImageGrid
from .lmm_inputs import LMMInputs
from .panoptic import PanopticMap, Segment
from .phrase_features import PhraseFeatures
from .predictions import ConversationPrediction, GroundingPrediction
from .vqa_question import VQAQuestion
from .written_text import WrittenText

__all__ = [
    'REGION_PLACEHOLDER',
    'CaptionInputs',
    'CaptionTask',
    'CocoMask',
    'ConversationPrediction',
    'GroundingPrediction',
    'GroundingSample',
    'ImageGrid',
    'LMMInputs',
    'PanopticMap',
    'PanopticMask',
    'Phrase',
    'PhraseFeatures',
    'Region',
    'RegionInputs',
    'Segment',
    'SkippedSample',
    'TextPiece',
    'Turn',
    'VQAQuestion',
    'WrittenText',
]
