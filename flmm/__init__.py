"""Grounding for frozen large multimodal models, on OpenMMLab's stack.

Importing this package is cheap on purpose: the parts register themselves when they are imported.
"""

from .utils.library_logs import leave_out_misleading
from .version import __version__

leave_out_misleading()

__all__ = ['__version__']
