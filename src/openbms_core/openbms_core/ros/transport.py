"""How ROS 2 messages travel between the processes of this computer.

Fast DDS 2.14 (the default middleware of Jazzy) prefers shared memory. There the death of one process by
``kill -9``, or one that is not scheduled for a second on a busy computer, can cut off others for good
(its issues 5469 and 5053, its pull request 4737), and leaves segments in ``/dev/shm``. The death of a
recorder must not touch driver and monitor: our processes use UDP over the loopback, which does not
notice a few kilobytes ten times a second. Others reach them by UDP as well.

UDP loses datagrams where a receive buffer overflows, and a reliable reader then waits for the repair, up to
the writer's heartbeat of 3 s, with everything newer held back. So the buffers are large, and what is
periodic is read without waiting (see ``listening`` in :mod:`openbms_core.ros.interfaces`).
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["PROFILES", "choose_transport"]

PROFILES = Path(__file__).with_name("fastdds.xml")
"""Profiles for Fast DDS 2: the syntax of version 3 differs."""

_TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"
_PROFILE_FILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


def choose_transport() -> None:
    """Let Fast DDS use UDP alone, unless the user has chosen; it is read when a participant is made."""
    if any(os.environ.get(name) for name in (_TRANSPORTS, *_PROFILE_FILES)):
        return
    if os.environ.get("ROS_DISTRO", "jazzy") == "jazzy":
        os.environ[_PROFILE_FILES[0]] = str(PROFILES)
    else:
        os.environ[_TRANSPORTS] = "UDPv4"
