"""What needs more than one scan to be judged. A new watch is a class, and its name in :data:`WATCHES`."""

from openbms_control.safety.watches.peaks import CurrentPeaks
from openbms_control.safety.watches.plausibility import FrameWatch, PlausibilityWatch
from openbms_control.safety.watches.runaway import RunawayWatch
from openbms_control.safety.watches.watch import Watch

__all__ = ["WATCHES", "Watch"]

WATCHES: tuple[type[Watch], ...] = (CurrentPeaks, RunawayWatch, PlausibilityWatch, FrameWatch)
"""Every watch; a monitor makes those whose quantities its pack can monitor."""
