"""How ROS 2 messages travel between the processes of this computer.

Fast DDS 2.14 (the default middleware of Jazzy) prefers shared memory. There the death of one process by
``kill -9``, or one that is not scheduled for a second on a busy computer, can cut off others for good
(its issues 5469 and 5053, its pull request 4737), and leaves segments in ``/dev/shm``. The death of a
recorder must not touch driver and monitor: our processes use UDP over the loopback, which does not
notice a few kilobytes ten times a second. Others reach them by UDP as well.
"""

from __future__ import annotations

import os

__all__ = ["choose_transport"]

_VARIABLE = "FASTDDS_BUILTIN_TRANSPORTS"


def choose_transport() -> None:
    """Let Fast DDS use UDP alone, unless the user has chosen; it is read when a participant is made."""
    if not any(os.environ.get(name) for name in (_VARIABLE, "FASTRTPS_DEFAULT_PROFILES_FILE")):
        os.environ[_VARIABLE] = "UDPv4"
