"""The file of a gateway: the DBC of the peer and which signal is what, in the words of a pack file's device.

``device.signals`` says where each quantity comes from, ``device.commands`` what is sent; both as in a pack
file (:mod:`openbms_core.pack_device`), with the quantities of a gateway in place of a pack's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from openbms_core.config_file import (
    ConfigError,
    Integer,
    Positive,
    StrictModel,
    load_config,
    read_yaml,
)
from openbms_core.pack import LoadedPack
from openbms_core.pack_device import CommandMap, CommandSignal, Device, Name, SignalMap
from openbms_core.resources import find_resource
from openbms_drivers.database import Database

__all__ = [
    "GatewayDevice",
    "GatewayFile",
    "InputSignal",
    "LoadedGateway",
    "OutputMessage",
    "OutputSignal",
    "load_gateway",
]


class InputSignal(SignalMap):
    """Where a quantity of the gateway comes from."""

    to: Name  # type: ignore[assignment]  # a quantity of the gateway, not of a pack


class OutputSignal(CommandSignal):
    """A signal of an outgoing message and what fills it."""

    source: Name | None = None  # type: ignore[assignment]  # a value of the gateway, not of a pack
    unknown_raw: Integer | None = None
    """Raw value that says unknown. Absent: the whole message is not sent while its value is unknown."""


class OutputMessage(CommandMap):
    """A message that the gateway sends."""

    signals: tuple[OutputSignal, ...]
    when_changed: bool = False
    """Also sent when its content changed, at most every 50 ms: a long period must not hold a stop back. A
    limit that rises waits for the period."""


class GatewayDevice(Device):
    """The peer on the bus."""

    type: Name = "generic"
    signals: tuple[InputSignal, ...] = ()
    commands: tuple[OutputMessage, ...] = ()


class GatewayFile(StrictModel):
    """Model of a gateway's file.

    Attributes
    ----------
    max_age_s : dict of str to float
        Age at which each quantity is unknown; where a signal does not say its own.
    default_max_age_s : float
        The same for all others.
    """

    schema_version: Literal[1]
    name: Name
    device: GatewayDevice
    default_max_age_s: Positive = 0.3
    max_age_s_of: Annotated[dict[str, Positive], Field(alias="max_age_s")] = Field(default_factory=dict)

    def sizes(self) -> dict[str, int]:
        """Give the number of values of each quantity."""
        sizes: dict[str, int] = {}
        for entry in self.device.signals:
            last = max(index for index, *_ in entry.expanded())
            sizes[entry.to] = max(sizes.get(entry.to, 0), last + 1)
        return sizes

    def max_age_s(self, entry: SignalMap) -> float:
        """Give the age at which a value of this entry is stale."""
        if entry.max_age_s is not None:
            return entry.max_age_s
        return self.max_age_s_of.get(entry.to, self.default_max_age_s)


@dataclass(frozen=True)
class LoadedGateway:
    """A gateway's file and where it lies; the shape of a loaded pack, as far as reading frames needs it."""

    path: Path
    file: GatewayFile

    def as_pack(self) -> LoadedPack:
        """Give it to what reads the device of a pack file: DBC, signal map, maximum ages."""
        return cast(LoadedPack, self)

    def error(self, location: tuple[Hashable, ...], text: str) -> ConfigError:
        """Build the error for the value at ``location``."""
        lines = read_yaml(self.path)[1]
        line = next((lines[location[:n]] for n in range(len(location), 0, -1) if location[:n] in lines), 1)
        return ConfigError(f"{self.path}:{line}: {text}")


def load_gateway(
    reference: str,
    inputs: Collection[str] | Callable[[Any], Collection[str]],
    outputs: Collection[str] | Callable[[Any], Collection[str]],
    beside: Path | None = None,
    model: type[GatewayFile] = GatewayFile,
) -> LoadedGateway:
    """Load a gateway's file.

    Parameters
    ----------
    reference : str
        Path, or ``package://openbms_drivers/devices/<device>/<file>.yaml`` for a shipped one.
    inputs, outputs : collection of str, or callable that gives it for the file
        Quantities that this kind of gateway takes in, and values that it can send.
    beside : Path, optional
        File that a relative path is relative to; absent: the working folder.
    model : type
        Model of the file, where this kind of gateway has keys of its own.

    Returns
    -------
    LoadedGateway

    Raises
    ------
    ConfigError
        The file is absent or wrong, or names a quantity that this gateway does not have.
    """
    path = find_resource(reference, beside=beside or Path.cwd() / "gateway.yaml").resolve()
    gateway = LoadedGateway(path, load_config(path, model))
    inputs = inputs(gateway.file) if callable(inputs) else inputs
    outputs = outputs(gateway.file) if callable(outputs) else outputs
    for number, entry in enumerate(gateway.file.device.signals):
        if entry.to not in inputs:
            raise gateway.error(
                ("device", "signals", number),
                f"device.signals[{number}].to: this gateway takes no '{entry.to}'. It takes: "
                f"{', '.join(sorted(inputs))}.",
            )
    for number, message in enumerate(gateway.file.device.commands):
        for signal in message.signals:
            if signal.source is not None and signal.source not in outputs:
                raise gateway.error(
                    ("device", "commands", number),
                    f"device.commands[{number}]: {signal.signal} wants '{signal.source}', which this gateway "
                    f"does not have. It has: {', '.join(sorted(outputs))}.",
                )
    _check_directions(gateway)
    Database(gateway.as_pack())  # a DBC that cannot be read is said here
    return gateway


def _check_directions(gateway: LoadedGateway) -> None:
    """Refuse a message that is sent twice, or by the peer as well."""
    device = gateway.file.device
    taken = {message for entry in device.signals for _, message, _, _ in entry.expanded()}
    sent: set[str] = set()
    for number, entry in enumerate(device.commands):
        problem = "is read as well, so the peer sends it" if entry.message in taken else ""
        if entry.message in sent:
            problem = "is sent by another entry as well"
        if problem:
            raise gateway.error(
                ("device", "commands", number),
                f"device.commands[{number}]: message '{entry.message}' {problem}: nobody could tell the two "
                "apart. Remove one of the two.",
            )
        sent.add(entry.message)
