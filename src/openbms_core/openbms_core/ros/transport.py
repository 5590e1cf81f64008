"""How ROS 2 messages travel between the processes of this computer.

Fast DDS 2.14 (the default middleware of Jazzy) prefers shared memory. There the death of one process by
``kill -9``, or one that is not scheduled for a second on a busy computer, can cut off others for good
(its issues 5469 and 5053, its pull request 4737), and leaves segments in ``/dev/shm``. The death of a
recorder must not touch driver and monitor: our processes use UDP over the loopback, which does not
notice a few kilobytes ten times a second. Others reach them by UDP as well.

UDP loses datagrams where a receive buffer overflows, and a reliable reader then waits for the repair, up to
the writer's heartbeat of 3 s, with everything newer held back. So the buffers are large, and what is
periodic is read without waiting (see ``listening`` in :mod:`openbms_core.ros.interfaces`).

Closed unless opened: where ``ROS_AUTOMATIC_DISCOVERY_RANGE`` is not set it counts as LOCALHOST, and no other
computer sees the topics. That is done here by binding the sockets to 127.0.0.1: for LOCALHOST rmw_fastrtps
adds shared memory again, whatever profile or variable says, and then the next process that joins
(``openbms request drive``) can stop all messages between all others.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["LOCALHOST_PROFILES", "PROFILES", "choose_transport"]

PROFILES = Path(__file__).with_name("fastdds.xml")
"""Profiles for Fast DDS 2: the syntax of version 3 differs."""
LOCALHOST_PROFILES = Path(__file__).with_name("fastdds_localhost.xml")
"""The same, closed to other computers."""

_TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"
_RANGE, _LOCALHOST_ONLY = "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"
_PROFILE_FILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


def _wants_localhost() -> bool:
    if os.environ.get("ROS_STATIC_PEERS"):  # other computers that the user lets in
        return False
    return (os.environ.get(_RANGE) or "LOCALHOST").upper() == "LOCALHOST" or (
        os.environ.get(_LOCALHOST_ONLY) == "1"
    )


def choose_transport() -> None:
    """Stay on this computer and let Fast DDS use UDP alone, unless the user has chosen.

    The environment is read when a participant is made.
    """
    if any(os.environ.get(name) for name in (_TRANSPORTS, *_PROFILE_FILES)):
        return
    if not (os.environ.get("RMW_IMPLEMENTATION") or "rmw_fastrtps").startswith("rmw_fastrtps"):
        os.environ.setdefault(_RANGE, "LOCALHOST")
        return
    if os.environ.get("ROS_DISTRO", "jazzy") == "jazzy":
        if _wants_localhost():
            os.environ[_PROFILE_FILES[0]] = str(LOCALHOST_PROFILES)
            os.environ.pop(_LOCALHOST_ONLY, None)
            os.environ[_RANGE] = "SUBNET"
        else:
            os.environ[_PROFILE_FILES[0]] = str(PROFILES)
    else:
        os.environ.setdefault(_RANGE, "LOCALHOST")
        os.environ[_TRANSPORTS] = "UDPv4"
