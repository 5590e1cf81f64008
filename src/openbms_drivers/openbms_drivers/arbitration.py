"""What the device is told: commands against the monitor's state, each with its expiry.

A fresh ``state`` of the safety monitor is obeyed over any command; without one everything is off. Every
command expires by the monotonic time since its reception.

Nothing closes on a command that went on from before: after a start, and after commands had expired or the
device was not served, contactors may have opened and the link may be empty. Only a monitor that has commanded
everything open in the meantime has begun its closing sequence, with precharge, anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from openbms_core.actuation import LONGEST_VALID_S, thermal_duties
from openbms_core.pack import PackFile
from openbms_core.types import (
    BalancingCommand,
    BmsStatus,
    ChargeCommand,
    ContactorCommand,
    State,
    ThermalCommand,
)

__all__ = ["Arbiter", "Outputs"]

_NO_ANSWER = 0xFF

CommandT = TypeVar("CommandT")


class _Held(Generic[CommandT]):
    """The newest command of one kind and when it expires. Set by one thread, read by another: one
    assignment.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._held: tuple[CommandT, float] | None = None

    def set(self, command: CommandT, valid_for_s: float, now_s: float) -> None:
        # NaN, zero and negative: never valid
        self._held = (command, now_s + min(valid_for_s, self._longest_s)) if valid_for_s > 0 else None

    def fresh(self, now_s: float) -> CommandT | None:
        held = self._held
        return held[0] if held is not None and now_s <= held[1] else None

    def expires_s(self, now_s: float) -> float:
        """When what is fresh now expires; infinite if nothing is."""
        held = self._held
        return held[1] if held is not None and now_s <= held[1] else math.inf


class _Allowed(NamedTuple):
    """The monitor's state, its contactors as plain numbers."""

    status: BmsStatus
    contactors: tuple[int, ...]


class _Ordered(NamedTuple):
    """A contactor command as plain numbers."""

    positive: tuple[int, ...]
    negative: tuple[int, ...]
    precharge: tuple[int, ...]
    requested_state: int
    answered_scan: int

    @property
    def opens_all(self) -> bool:
        return not (any(self.positive) or any(self.negative) or any(self.precharge))


@dataclass(frozen=True)
class Outputs:
    """What the device is told after arbitration; lists by string or cell, duties 0…1.

    ``answered_scan`` is the low byte of the number of the newest scan that the monitor had taken in when it
    decided on the contactors; 255 where no command of it is fresh.
    """

    contactor_positive: tuple[int, ...]
    contactor_negative: tuple[int, ...]
    contactor_precharge: tuple[int, ...]
    requested_state: int
    answered_scan: int
    bleed: tuple[int, ...]
    heater: float
    pump: float
    fan: float
    chiller: float
    charge_enable: int
    charge_voltage_v: float
    charge_current_a: float

    def value(self, source: str, index: int) -> float:
        """Give one value by the name of the pack file."""
        value = getattr(self, source)
        return float(value[index] if isinstance(value, tuple) else value)

    @property
    def any_closed(self) -> bool:
        """Some contactor is commanded closed."""
        return any(self.contactor_positive) or any(self.contactor_negative) or any(self.contactor_precharge)


class Arbiter:
    """Holds the newest commands and decides what counts.

    The setters may be called by another thread than the rest.

    Parameters
    ----------
    pack : PackFile
        The pack.
    """

    def __init__(self, pack: PackFile) -> None:
        self._pack = pack
        self._strings = pack.topology.strings
        self._cells = pack.topology.cell_count
        longest = pack.contactors.command_valid_for_s
        self._state: _Held[_Allowed] = _Held(longest)
        self._contactors: _Held[_Ordered] = _Held(longest)
        self._balancing: _Held[tuple[int, ...]] = _Held(LONGEST_VALID_S)
        self._thermal: _Held[ThermalCommand] = _Held(LONGEST_VALID_S)
        self._charge: _Held[ChargeCommand] = _Held(LONGEST_VALID_S)
        self._held = (self._state, self._contactors, self._balancing, self._thermal, self._charge)
        self.changed = True
        """Something came since this was cleared."""
        self._longest_s = longest
        self._opened, self._no_bleed = (0,) * self._strings, (0,) * self._cells
        self._may_close = False
        self._decided_s = -math.inf

    def expires_s(self, now_s: float) -> float:
        """When the first of what is fresh now expires (monotonic); infinite if nothing is fresh."""
        return min(held.expires_s(now_s) for held in self._held)

    # ---- what comes in

    def set_state(self, state: BmsStatus, now_s: float) -> str | None:
        """Take the monitor's state; gives a sentence if it is refused."""
        if len(state.contactor_command) != 3 * self._strings:
            return (
                f"state has {len(state.contactor_command)} contactors, the pack has {3 * self._strings}: "
                "refused"
            )
        self._state.set(_Allowed(state, _plain(state.contactor_command)), state.valid_for_s, now_s)
        self.changed = True
        return None

    def set_contactors(self, command: ContactorCommand, now_s: float) -> str | None:
        """Take a contactor command; gives a sentence if it is refused."""
        if {len(command.positive), len(command.negative), len(command.precharge)} != {self._strings}:
            return f"contactor_command is not for {self._strings} string(s): refused"
        ordered = _Ordered(
            _plain(command.positive),
            _plain(command.negative),
            _plain(command.precharge),
            int(command.requested_state),
            command.scan_number & 0xFF,
        )
        self._contactors.set(ordered, command.valid_for_s, now_s)
        self.changed = True
        return None

    def set_balancing(self, command: BalancingCommand, now_s: float) -> str | None:
        """Take a balancing command; gives a sentence if it is refused."""
        if len(command.bleed) != self._cells:
            return f"balancing_command is for {len(command.bleed)} cells, the pack has {self._cells}: refused"
        bleed = tuple([int(value == 1) for value in _plain(command.bleed)])
        self._balancing.set(bleed, command.valid_for_s, now_s)
        self.changed = True
        return None

    def set_thermal(self, command: ThermalCommand, now_s: float) -> None:
        """Take a thermal command."""
        self._thermal.set(command, command.valid_for_s, now_s)
        self.changed = True

    def set_charge(self, command: ChargeCommand, now_s: float) -> None:
        """Take a charge command."""
        self._charge.set(command, command.valid_for_s, now_s)
        self.changed = True

    # ---- arbitration

    @property
    def may_close(self) -> bool:
        """The monitor has commanded everything open since the start and since the last expiry."""
        return self._may_close

    def _follow(self, allowed: _Allowed | None, ordered: _Ordered | None, now_s: float) -> bool:
        """Tell whether a command to close counts: not before one to open came, now and after every gap."""
        if allowed is None or ordered is None or now_s - self._decided_s > self._longest_s:
            self._may_close = False
        if allowed is not None and ordered is not None:
            self._may_close |= ordered.opens_all and not any(allowed.contactors)
        self._decided_s = now_s
        return self._may_close

    def fresh_state(self, now_s: float) -> BmsStatus | None:
        """Give the monitor's state while it is fresh."""
        allowed = self._state.fresh(now_s)
        return None if allowed is None else allowed.status

    def outputs(self, now_s: float) -> Outputs:
        """Decide what the device is told now (monotonic time); asked by one loop, without long gaps."""
        allowed = self._state.fresh(now_s)
        ordered = self._contactors.fresh(now_s)
        state = None if allowed is None else allowed.status
        positive = negative = precharge = self._opened
        requested = int(State.STANDBY)
        if self._follow(allowed, ordered, now_s) and allowed is not None and ordered is not None:
            # closed only where command and state agree: whichever opens first wins
            positive = _both(ordered.positive, allowed.contactors[0::3])
            negative = _both(ordered.negative, allowed.contactors[1::3])
            precharge = _both(ordered.precharge, allowed.contactors[2::3])
            requested = ordered.requested_state
        balancing = self._balancing.fresh(now_s)
        bleed = self._no_bleed
        if state is not None and state.balancing_allowed and balancing is not None:
            bleed = balancing
        thermal = self._thermal.fresh(now_s) if state is not None else None
        duties = thermal_duties(
            thermal,
            self._pack.thermal_safe,
            heating_allowed=state is not None and state.heating_allowed,
            cooling_required=state is not None and state.cooling_required,
        )
        charge = self._charge.fresh(now_s)
        charging = (
            charge is not None
            and state is not None
            and state.charge_allowed
            and not state.zero_current_requested
            and bool(charge.enable)
            and math.isfinite(charge.voltage_v)
            and math.isfinite(charge.current_a)
        )
        return Outputs(
            contactor_positive=positive,
            contactor_negative=negative,
            contactor_precharge=precharge,
            requested_state=requested,
            answered_scan=_NO_ANSWER if ordered is None else ordered.answered_scan,
            bleed=bleed,
            heater=duties.heater,
            pump=duties.pump,
            fan=duties.fan,
            chiller=duties.chiller,
            charge_enable=int(charging),
            charge_voltage_v=max(charge.voltage_v, 0.0) if charging and charge is not None else 0.0,
            charge_current_a=max(charge.current_a, 0.0) if charging and charge is not None else 0.0,
        )


def _plain(values: Any) -> tuple[int, ...]:
    return tuple(np.asarray(values).tolist())


def _both(ordered: tuple[int, ...], allowed: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([int(one == other == 1) for one, other in zip(ordered, allowed, strict=True)])
