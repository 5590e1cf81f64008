"""The gateway of one battery to one inverter: messages in, frames out, without bus and without ROS.

What counts is judged here by the receiver's clock: limits that expired are zero, a state that stays away is
LOST. Times: ``now_s`` is monotonic, ``stamp_s`` ROS time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from openbms_core.types import BmsStatus, FinalLimits, State
from openbms_drivers.devices.inverter_lv.battery import (
    BatteryFacts,
    battery_current_a,
    battery_texts,
    battery_values,
    battery_voltage_v,
)
from openbms_drivers.devices.inverter_lv.causes import cause_items
from openbms_drivers.devices.inverter_lv.encoder import FrameEncoder
from openbms_drivers.devices.inverter_lv.limits import (
    CurrentLimit,
    Shaping,
    charge_voltage_limit_v,
    received_currents_a,
    told_voltages_v,
)
from openbms_drivers.devices.inverter_lv.profile import FrameSpec, Profile
from openbms_drivers.devices.inverter_lv.requests import ChargeRequests
from openbms_drivers.devices.inverter_lv.situation import (
    CLOSED_STATES,
    Situation,
    SituationWatch,
    situation_of,
)
from openbms_drivers.devices.inverter_lv.supervision import InverterWatch
from openbms_drivers.devices.inverter_lv.vocabulary import ALARMS
from openbms_drivers.frame import Frame

__all__ = ["GatewaySettings", "InverterGateway", "Report"]

STEP_S = 0.05
"""Longest time between two looks at what has expired."""
_KEEP_S = {"measurement": 0.5, "soc": 2.0, "soh": 3600.0, "faults": 3.0, "state": 0.5, "limits": 0.5}
"""How long each input counts, unless it says so itself. Health changes over weeks and comes seldom."""
_SCANS = 2.5
"""What comes with each scan counts for at least so many of them."""
_LONGEST_S = 5.0
"""No input that says itself how long it counts, counts for longer."""
_FALL = 0.95
"""A limit below this part of the one that was sent is told at once."""
_NO_CURRENT = 0.02
"""Part of the battery's largest current that counts as none: an inverter that stands by takes a little."""
_NOTHING_YET = object()
_INTRUDER_S = 10.0
"""For so long a second battery on the bus is said after its last frame."""


@dataclass(frozen=True)
class GatewaySettings:
    """What can be set beside the profile.

    Attributes
    ----------
    charge_voltage_v, discharge_voltage_v : float
        Of the whole battery [V]; 0: cells in series times the cell's operating maximum, and recommended
        minimum.
    shaping : Shaping
        How limits rise.
    on_inverter_lost : {"say", "zero"}
        An inverter that is not heard is said on /diagnostics; with "zero" it also gets no current until it is
        back.
    """

    charge_voltage_v: float = 0.0
    discharge_voltage_v: float = 0.0
    shaping: Shaping = field(default_factory=Shaping)
    on_inverter_lost: Literal["say", "zero"] = "say"


@dataclass(frozen=True)
class Report:
    """What there is to say on /diagnostics: 0 fine, 1 warning, 2 error."""

    level: int
    message: str
    values: dict[str, Any]


def _counted(current_a: float) -> float:
    """Give a limit, or none where it is smaller than the 0.1 A that every profile counts in."""
    return current_a if current_a >= 0.1 - 1e-6 else 0.0


class InverterGateway:
    """What one inverter hears of one battery.

    Parameters
    ----------
    profile : Profile
    facts : BatteryFacts
    settings : GatewaySettings
    requests : ChargeRequests, optional
        With what was stored of it.

    Raises
    ------
    ConfigError
        The battery does not fit the profile: its charge voltage lies outside of what the inverter takes.
    """

    def __init__(
        self,
        profile: Profile,
        facts: BatteryFacts,
        settings: GatewaySettings | None = None,
        requests: ChargeRequests | None = None,
    ) -> None:
        self.profile, self.facts = profile, facts
        self.settings = settings or GatewaySettings()
        self.requests = requests or ChargeRequests()
        self._charge_v, self._discharge_v = told_voltages_v(
            profile, facts, self.settings.charge_voltage_v, self.settings.discharge_voltage_v
        )
        shaping = self.settings.shaping
        self._charge = CurrentLimit(facts.charge_current_max_a, shaping)
        self._discharge = CurrentLimit(facts.discharge_current_max_a, shaping)
        self.inverter = InverterWatch(profile.inverter)
        self._encoder = FrameEncoder(profile)
        self._watch = SituationWatch()
        self._own = {frame.id: frame for frame in profile.frames}
        self._newest: dict[str, tuple[Any, float, float]] = {}
        self._due_s: dict[int, float] = {}
        self._sent_s: dict[int, float] = {}
        self._last_told: tuple[float, float, frozenset[str]] = (0.0, 0.0, frozenset())
        self._not_monitored: tuple[str, ...] = ()
        self._causes: tuple[Any, dict[str, bool | None]] = (_NOTHING_YET, {})
        self._withheld: set[int] = set()
        self._intruder: tuple[float, str] = (-math.inf, "")
        self._battery_v = math.nan
        self._ending_s: float | None = None
        self._silent = True
        self._situation = Situation.STARTING
        self._sent: tuple[float, float, float] = (0.0, 0.0, math.nan)

    # ---- in

    def take(
        self,
        name: Literal["limits", "state", "measurement", "soc", "soh", "faults"],
        value: Any,
        now_s: float,
        valid_for_s: float | None = None,
    ) -> None:
        """Take an input; ``faults`` is a list of identifier and level of each active or latched one.

        ``valid_for_s`` is what the input says of itself; it counts no longer than 5 s all the same.
        """
        keep_s = _KEEP_S[name] if valid_for_s is None else min(valid_for_s, _LONGEST_S)
        if name in ("measurement", "soc"):  # of each scan
            keep_s = max(keep_s, _SCANS * self.facts.scan_period_s)
        self._newest[name] = (value, now_s, keep_s)

    def set_not_monitored(self, rows: tuple[str, ...]) -> None:
        """Take the rows of the fault table that this pack cannot monitor."""
        if rows != self._not_monitored:
            self._not_monitored = rows
            self._causes = (_NOTHING_YET, {})

    def receive(self, frame: Frame) -> None:
        """Take a frame from the inverter's bus."""
        sentence = self.inverter.receive(frame, self._own)
        if sentence:
            self._intruder = (frame.monotonic_s, sentence)

    def _get(self, name: str, now_s: float) -> Any:
        value, received_s, keep_s = self._newest.get(name, (None, -math.inf, 0.0))
        return value if 0.0 <= now_s - received_s <= keep_s else None

    # ---- the end

    def begin(self) -> None:
        """Begin (anew): nothing ends."""
        self._ending_s = None

    def end(self, now_s: float) -> None:
        """Begin to end: no current from now on; frames go on until :meth:`ended`."""
        if self._ending_s is None:
            self._ending_s = now_s

    def ended(self, now_s: float) -> bool:
        """Tell whether the frames may stop: the inverter was told that there is no current, and obeys it, or
        nothing is connected.

        An inverter goes on with the last limits for as long as its own timeout: frames that end while current
        flows would open the contactors under load.
        """
        if self._ending_s is None:
            return False
        status: BmsStatus | None = self._get("state", now_s)
        if not self._sent_s or self._silent or status is None:
            return True
        if status.state not in CLOSED_STATES and status.state != State.OPENING:
            return True
        told = now_s - self._ending_s >= 2.0 * self.profile.period_s
        current_a = battery_current_a(self._get("measurement", now_s))
        least_a = _NO_CURRENT * max(self.facts.charge_current_max_a, self.facts.discharge_current_max_a)
        return told and abs(current_a) <= least_a

    # ---- out

    def frames_due(self, now_s: float, stamp_s: float) -> list[Frame]:
        """Give the frames that are to be sent now.

        Parameters
        ----------
        now_s, stamp_s : float
            Monotonic and ROS time [s].

        Returns
        -------
        list of Frame
            Of 11-bit identifiers, in the profile's order.
        """
        status: BmsStatus | None = self._get("state", now_s)
        limits: FinalLimits | None = self._get("limits", now_s)
        was_sending = bool(self._sent_s)
        self._situation = situation_of(
            status,
            limits_fresh=limits is not None,
            state_was_heard="state" in self._newest,
            was_sending=was_sending,
        )
        if self._ending_s is not None and self._situation is Situation.CONNECTED:
            self._situation = Situation.OPENING
        lasted_s = self._watch.step(self._situation, now_s)
        self._limit(status, limits, now_s)
        items = self._items(now_s, stamp_s)
        row = getattr(self.profile.situations, self._situation.value, None)
        send = row is None or (
            (row.send or was_sending) and (row.silent_after_s is None or lasted_s <= row.silent_after_s)
        )
        self._silent = not send
        if not send:
            self._due_s.clear()
            return []
        if row is not None:
            items |= dict.fromkeys(row.alarms, True)
        self.inverter.start(now_s)
        return self._due(items, now_s, stamp_s)

    def _limit(self, status: BmsStatus | None, limits: FinalLimits | None, now_s: float) -> None:
        """Work out the limits of this turn."""
        present_v = battery_voltage_v(self.facts, self._get("measurement", now_s))
        if math.isfinite(present_v):
            self._battery_v = present_v
        # where it is not known, the last one still bounds the charge voltage from below; it allows nothing
        battery_v = self._battery_v
        charge_a = discharge_a = 0.0
        held = self.settings.on_inverter_lost == "zero" and self.inverter.lost(now_s)
        if self._situation is Situation.CONNECTED and status is not None and limits is not None and not held:
            charge_a, discharge_a = received_currents_a(limits, present_v, self._charge_v)
            charge_a = charge_a if status.charge_allowed else 0.0
            discharge_a = discharge_a if status.discharge_allowed else 0.0
        rule = self.profile.charge_voltage
        _, share = charge_voltage_limit_v(rule, self._charge_v, battery_v, charging_allowed=charge_a > 0.0)
        # what is smaller than one count is none: an enable bit beside it would contradict it
        charge_a = _counted(self._charge.step(charge_a * share, now_s))
        discharge_a = _counted(self._discharge.step(discharge_a, now_s))
        charge_v, _ = charge_voltage_limit_v(rule, self._charge_v, battery_v, charging_allowed=charge_a > 0.0)
        self._sent = (charge_a, discharge_a, charge_v)

    def _items(self, now_s: float, stamp_s: float) -> dict[str, bool | None]:
        """Give every yes-or-no item of this turn."""
        faults, soc = self._get("faults", now_s), self._get("soc", now_s)
        charge_a, discharge_a, _ = self._sent
        if self._causes[0] is not faults:
            self._causes = (faults, cause_items(faults, self._not_monitored))
        return (
            self._causes[1]
            | self.requests.step(
                soc.soc if soc is not None else math.nan, stamp_s, charging_allowed=charge_a > 0.0
            )
            | {
                "charge_enable": charge_a > 0.0,
                "discharge_enable": discharge_a > 0.0,
                "offline": self._situation is not Situation.CONNECTED,
            }
        )

    def _values(self, now_s: float) -> tuple[dict[str, float], Mapping[str, str]]:
        """Give every number and text, for frames that are due."""
        measured = self._get("measurement", now_s)
        soc, soh, status = (self._get(name, now_s) for name in ("soc", "soh", "state"))
        charge_a, discharge_a, charge_v = self._sent
        least_a = self.profile.smallest_current_a
        values = battery_values(self.facts, measured, soc, soh, status) | {
            "charge_voltage_limit_v": charge_v,
            "discharge_voltage_limit_v": math.ceil(round(10.0 * self._discharge_v, 6)) / 10.0,
            "charge_current_limit_a": charge_a or least_a,
            "discharge_current_limit_a": discharge_a or least_a,
        }
        return values, battery_texts(self.facts, measured)

    def _due(self, items: dict[str, bool | None], now_s: float, stamp_s: float) -> list[Frame]:
        content: tuple[dict[str, float], Mapping[str, str]] | None = None
        urgent = self._urgent(items)
        frames: list[Frame] = []
        told = True
        for number, frame in enumerate(self.profile.frames):
            due_s = self._due_s.setdefault(frame.id, now_s + number * self.profile.gap_s)
            last_s = self._sent_s.get(frame.id, -math.inf)
            free = now_s - last_s >= self.profile.inhibit_s - 1e-9
            hurry = urgent and frame.tells_limits
            if not (now_s >= due_s or hurry):
                continue
            if not free:
                told = told and not hurry
                continue
            content = content or self._values(now_s)
            data = self._encoder.encode(frame, content[0], items, content[1])
            self._plan(frame, due_s, now_s)
            if data is None:
                self._withheld.add(frame.id)
                continue
            self._withheld.discard(frame.id)
            self._sent_s[frame.id] = now_s
            frames.append(Frame(frame.id, data, 0, now_s, stamp_s))
        sent_limits = any(self._own[frame.identifier].tells_limits for frame in frames)
        if sent_limits and told:
            self._last_told = self._present(items)
        return frames

    def _plan(self, frame: FrameSpec, due_s: float, now_s: float) -> None:
        """Plan the next time, by the grid of the cycle; a frame that was hurried keeps its place in it."""
        period_s = self.profile.period_s * frame.every
        if now_s >= due_s:
            due_s += period_s
        if due_s <= now_s:  # it was held up for longer than a cycle
            due_s = now_s + period_s
        self._due_s[frame.id] = due_s

    def _present(self, items: dict[str, bool | None]) -> tuple[float, float, frozenset[str]]:
        return self._sent[0], self._sent[1], frozenset(name for name in ALARMS if items.get(name))

    def _urgent(self, items: dict[str, bool | None]) -> bool:
        """Tell whether the inverter must not wait for the next cycle: less is allowed, or an alarm came."""
        charge_a, discharge_a, alarms = self._present(items)
        told_charge_a, told_discharge_a, told_alarms = self._last_told
        fell = charge_a < _FALL * told_charge_a or discharge_a < _FALL * told_discharge_a
        return fell or bool(alarms - told_alarms)

    def next_due_s(self, now_s: float) -> float:
        """Give when :meth:`frames_due` is to be called again at the latest (monotonic)."""
        return min([now_s + STEP_S, *(max(due_s, now_s) for due_s in self._due_s.values())])

    # ---- said

    def report(self, now_s: float) -> Report:
        """Give what there is to say."""
        charge_a, discharge_a, charge_v = self._sent
        age_s = self.inverter.age_s(now_s)
        values = {
            "profile": self.profile.name,
            "situation": self._situation.value,
            "sending": not self._silent,
            "charge_limit_a": round(charge_a, 1),
            "discharge_limit_a": round(discharge_a, 1),
            "charge_voltage_v": round(charge_v, 1),
            "inverter_age_s": round(age_s, 1) if math.isfinite(age_s) else "never heard",
            "inverter_frames": self.inverter.frames,
        }
        if now_s - self._intruder[0] <= _INTRUDER_S:
            return Report(2, self._intruder[1], values)
        if self.inverter.lost(now_s):
            heard = f"for {age_s:.0f} s" if math.isfinite(age_s) else "since the gateway sends"
            also = "" if self.settings.on_inverter_lost == "say" else ", its limits are zero"
            return Report(
                1,
                f"the inverter was not heard {heard}{also}: check the cable, the bit rate "
                f"({self.profile.bitrate_bit_per_s} bit/s), both terminators and the protocol set in it",
                values,
            )
        if self._withheld and not self._silent:
            frames = ", ".join(f"0x{identifier:03X}" for identifier in sorted(self._withheld))
            return Report(1, f"withheld, since something in it is unknown: {frames}", values)
        if self._situation in (Situation.LOST, Situation.FAULT):
            return Report(1, f"{self._situation.value}: the inverter gets no current", values)
        return Report(0, self._situation.value, values)
