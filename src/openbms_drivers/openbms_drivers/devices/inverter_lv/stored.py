"""The day on which the battery was full last, on disk: thirty days outlast every restart."""

from __future__ import annotations

import contextlib
import json
import math
import os
from pathlib import Path

__all__ = ["load_last_full", "save_last_full"]


def load_last_full(path: Path) -> float | None:
    """Give the stored ROS time [s]; None where there is none that can be read."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        stamp_s = float(json.loads(path.read_text(encoding="utf-8"))["last_full_s"])
        return stamp_s if math.isfinite(stamp_s) and stamp_s > 0.0 else None
    return None


def save_last_full(path: Path, stamp_s: float) -> str:
    """Store the ROS time [s]; gives why it could not be, or an empty text.

    Either the old or the new content is there, whenever the power goes.
    """
    beside = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", encoding="utf-8") as file:
            json.dump({"last_full_s": stamp_s}, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        return (
            f"{path}: the day of the last full charge cannot be stored ({error.strerror}). Make it writable."
        )
    return ""
