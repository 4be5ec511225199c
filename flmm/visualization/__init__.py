"""Masks, words and attention drawn on images; sheets and galleries of them."""

from .colours import phrase_colour, phrase_colours
from .crayon import draw_crayon
from .gallery import GalleryItem, GalleryWriter, write_gallery
from .overlays import draw_attention, draw_masks, overlay_masks
from .panels import Panel, Word, caption_strip, make_sheet
from .samples import draw_prediction, draw_sample

__all__ = [
    'GalleryItem',
    'GalleryWriter',
    'Panel',
    'Word',
    'caption_strip',
    'draw_attention',
    'draw_crayon',
    'draw_masks',
    'draw_prediction',
    'draw_sample',
    'make_sheet',
    'overlay_masks',
    'phrase_colour',
    'phrase_colours',
    'write_gallery',
]
