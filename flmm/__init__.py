"""Grounding for frozen large multimodal models, on OpenMMLab's stack.

Importing this package is cheap on purpose: the parts register themselves when they are imported.
"""

from .version import __version__

__all__ = ['__version__']
