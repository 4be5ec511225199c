"""Messages of libraries that mislead: they ask for what nobody here needs."""

from __future__ import annotations

import logging

#: Logger -> beginnings of messages that are left out.
MISLEADING = {
    # A missing optional kernel; the built-in one does the same.
    'bitsandbytes.backends.cpu.ops': ('Failed to load CPU gemm_4bit_forward',),
    # Said on every machine without a GPU, at every start.
    'DeepSpeed': ('Setting accelerator to CPU',),
}


class LeaveOut(logging.Filter):
    """Let pass all messages but those that begin in given ways.

    Args:
        beginnings: Of the messages to leave out.
    """

    def __init__(self, beginnings: tuple[str, ...]) -> None:
        super().__init__()
        self.beginnings = beginnings

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a message is shown."""
        return not str(record.msg).startswith(self.beginnings)


def leave_out_misleading() -> None:
    """Leave those messages out; imports nothing of the libraries, and may be called repeatedly."""
    for name, beginnings in MISLEADING.items():
        logger = logging.getLogger(name)
        if not any(isinstance(known, LeaveOut) for known in logger.filters):
            logger.addFilter(LeaveOut(beginnings))
