"""Transforms: from a raw sample to what a system reads."""

from .base import Transform
from .captions import PrepareCaptions
from .choices import PrepareChoices
from .conversation import HideText
from .crayon import AddCrayonMap, DescribeSegments, LoadPanoptic, NameImage, OpenLastTurn
from .geometry import PrepareRefinerPixels
from .instructions import PrepareDialogue, TurnAsPrompt, WriteTurns
from .loading import BlurImage, LoadImage, LoadMasks
from .prompts import AddPrompt, PrepareLMMInputs
from .regions import LoadRegions
from .words import LastWords

__all__ = [
    'AddCrayonMap',
    'AddPrompt',
    'BlurImage',
    'DescribeSegments',
    'HideText',
    'LastWords',
    'LoadImage',
    'LoadMasks',
    'LoadPanoptic',
    'LoadRegions',
    'NameImage',
    'OpenLastTurn',
    'PrepareCaptions',
    'PrepareChoices',
    'PrepareDialogue',
    'PrepareLMMInputs',
    'PrepareRefinerPixels',
    'Transform',
    'TurnAsPrompt',
    'WriteTurns',
]
