"""Raw frames of a scan as one message."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from std_msgs.msg import Header

from openbms_drivers.frame import Frame
from openbms_drivers.scan import ScanAssembler
from openbms_msgs.msg import CanFrames

__all__ = ["frames_to_msg"]


def _nanoseconds(stamp_s: float) -> int:
    """Convert so that the seconds come back bit by bit: a product in floating point is 128 ns off."""
    whole = int(stamp_s)
    return whole * 1_000_000_000 + round((stamp_s - whole) * 1e9)


def frames_to_msg(frames: Sequence[Frame], channel: str, header: Header, scan: ScanAssembler) -> CanFrames:
    """Convert the frames of one scan.

    Parameters
    ----------
    frames : sequence of Frame
        In the order of the bus.
    channel : str
        ``interface:channel``.
    header : Header
        Stamp of the scan.
    scan : ScanAssembler
        It has just closed the scan.
    """
    return CanFrames(
        header=header,
        channel=channel,
        stamps=array("q", [_nanoseconds(frame.stamp_s) for frame in frames]),
        monotonic_times=array("d", [frame.monotonic_s for frame in frames]),
        closed_monotonic_time=scan.closed_s,
        closed_stamp=_nanoseconds(scan.closed_stamp_s),
        counted_by_stamp=scan.counted_by_stamp,
        identifiers=array("I", [frame.identifier for frame in frames]),
        flags=array("B", [frame.flags for frame in frames]),
        lengths=array("B", [len(frame.data) for frame in frames]),
        data=array("B", b"".join(frame.data for frame in frames)),
    )
