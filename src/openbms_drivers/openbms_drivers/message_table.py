"""Which message a frame is, by its identifier."""

from __future__ import annotations

from typing import Any

from openbms_drivers.database import frame_key, identifier_mask
from openbms_drivers.message_plan import MessagePlan

__all__ = ["MessageTable"]

_UNKNOWN_LIMIT = 4096
_ALL_BITS = 0xFFFF_FFFF


class MessageTable:
    """Finds the plan of a frame: by its whole identifier, for J1939 by the bits that make its message known.

    Each identifier has one plan. Where the DBC has two messages with the same one, the mapped one is found.
    """

    def __init__(self) -> None:
        self._plans: dict[int, MessagePlan] = {}
        self._masked: list[tuple[int, dict[int, MessagePlan]]] = []
        self._unknown: set[int] = set()

    def add(self, message: Any, plan: MessagePlan) -> MessagePlan | None:
        """Add a message of the DBC.

        Parameters
        ----------
        message : cantools.database.can.Message
            The message.
        plan : MessagePlan
            How it is read.

        Returns
        -------
        MessagePlan or None
            The message that has the same identifier, where there is one.
        """
        mask = identifier_mask(message)
        table: dict[int, MessagePlan] | None = self._plans
        if mask != _ALL_BITS:
            table = next((table for known, table in self._masked if known == mask), None)
            if table is None:
                table = {}
                self._masked.append((mask, table))
        assert table is not None
        key = frame_key(message) & mask
        other = table.get(key)
        if other is None or plan.mapped:
            table[key] = plan
        return other

    def find(self, key: int) -> MessagePlan | None:
        """Give the plan of a frame by its key (:attr:`~openbms_drivers.frame.Frame.key`); None if the DBC
        does not have it.
        """
        plan = self._plans.get(key)
        if plan is not None or key in self._unknown:
            return plan
        for mask, table in self._masked:
            plan = table.get(key & mask)
            if plan is not None:
                self._plans[key] = plan
                return plan
        if len(self._unknown) < _UNKNOWN_LIMIT:
            self._unknown.add(key)
        return None
