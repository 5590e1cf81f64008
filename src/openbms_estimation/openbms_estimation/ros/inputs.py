"""What the estimating nodes share: scans that wait for the estimate of the same number, and where to keep."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

from openbms_core.ros.node_base import BmsNode
from openbms_core.ros.state_folder import state_folder

__all__ = ["KEEP_NOTHING", "RecentScans", "state_path"]

KEEP_NOTHING = "none"
_KEPT_SCANS = 8


class RecentScans:
    """The last messages of a topic, by scan number: an estimate names the scan that it belongs to."""

    def __init__(self) -> None:
        self._messages: OrderedDict[int, Any] = OrderedDict()

    def take(self, message: Any) -> None:
        """Keep a message, and forget the oldest."""
        self._messages[message.scan_number] = message
        while len(self._messages) > _KEPT_SCANS:
            self._messages.popitem(last=False)

    def get(self, scan_number: int) -> Any | None:
        """Give the message of a scan; None: it has not come, or is forgotten."""
        return self._messages.get(scan_number)


def state_path(node: BmsNode, file_name: str) -> Path | None:
    """Give the file that a node's parameter ``state_file`` names; None: nothing is kept.

    Parameters
    ----------
    node : BmsNode
        With the parameters ``state_file`` and ``use_sim_time``.
    file_name : str
        In the folder of the pack, where the parameter is empty.
    """
    given = node.value("state_file")
    if given:
        return None if given == KEEP_NOTHING else Path(given).expanduser()
    # a recording that is played must not pass for the pack
    return None if node.value("use_sim_time") else state_folder(node.pack.file.serial) / file_name
