"""Where the bus of a gateway is, for its node: a bus of its own beside the pack's."""

from __future__ import annotations

from openbms_core.config_file import ConfigError
from openbms_core.ros.node_base import BmsNode
from openbms_drivers.bus import Bus
from openbms_drivers.bus_claim import BusClaim

__all__ = ["GatewayBus", "declare_bus"]

_CLAIM_WAIT_S = 3.0


def declare_bus(node: BmsNode, interface: str) -> None:
    """Declare where buses are; the parameter ``interface`` is that of this gateway alone."""
    node.parameter("can_interface", "socketcan", "Interface of python-can of the pack's bus")
    node.parameter("can_host", "127.0.0.1", "Computer of the socketcand server")
    node.parameter("can_port", 29536, "Port of the socketcand server")
    node.parameter(interface, "", "Interface of python-can of this bus; empty: can_interface")


class GatewayBus:
    """The bus of a gateway, claimed: a second gateway would send against the first.

    Parameters
    ----------
    node : BmsNode
        Has the parameters of :func:`declare_bus`.
    interface : str
        Name of its own parameter for the interface.
    channel : str
        Name of the bus.
    bit_rate : int
        Of the gateway file [bit/s].
    fd : bool
        The DBC has CAN FD messages.

    Raises
    ------
    ConfigError
        The interface is none of CAN, or another gateway of this pack has the bus.
    """

    def __init__(self, node: BmsNode, interface: str, channel: str, bit_rate: int, *, fd: bool) -> None:
        kind = node.value(interface) or node.value("can_interface")
        if kind == "serial":
            raise ConfigError(
                f"{node.get_name()}: the pack is on a serial line; give {interface}, such as socketcan."
            )
        host, port = node.value("can_host"), node.value("can_port")
        self.name = f"{kind}:{channel}"
        self._claim = BusClaim(kind, channel, host, port, f"{node.get_name()} {node.pack.file.serial}")
        if not self._claim.take(_CLAIM_WAIT_S):
            raise ConfigError(
                f"{node.get_name()}: another one of the pack {node.pack.file.serial} is on {self.name}: the "
                "two would send against each other. End it, or name another bus."
            )
        self.bus = Bus(kind, channel, host, port, bit_rate, fd=fd)

    def release(self) -> None:
        """Give the claim back."""
        self._claim.release()
