"""Where a node keeps what must survive a restart of the computer."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["state_folder"]


def state_folder(serial: str) -> Path:
    """Give ``$XDG_STATE_HOME/openbms/<serial>`` (``~/.local/state`` where that is not set).

    Parameters
    ----------
    serial : str
        Serial number of the pack; what a file name should not hold becomes ``_``.
    """
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "openbms" / re.sub(r"[^\w.-]", "_", serial)
