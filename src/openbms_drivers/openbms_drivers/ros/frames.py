"""Raw frames of a scan as one message."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from std_msgs.msg import Header

from openbms_drivers.frame import Frame
from openbms_msgs.msg import CanFrames

__all__ = ["frames_to_msg"]


def frames_to_msg(frames: Sequence[Frame], channel: str, header: Header) -> CanFrames:
    """Convert the frames of one scan.

    Parameters
    ----------
    frames : sequence of Frame
        In the order of the bus.
    channel : str
        ``interface:channel``.
    header : Header
        Stamp of the scan.
    """
    return CanFrames(
        header=header,
        channel=channel,
        stamps=array("q", [round(frame.stamp_s * 1e9) for frame in frames]),
        identifiers=array("I", [frame.identifier for frame in frames]),
        flags=array("B", [frame.flags for frame in frames]),
        lengths=array("B", [len(frame.data) for frame in frames]),
        data=array("B", b"".join(frame.data for frame in frames)),
    )
