"""The gateway of one battery to one inverter: messages in, frames out, without bus and without ROS.

What counts is judged here by the receiver's clock: limits that expired are zero, a state that stays away is
LOST. Times: ``now_s`` is monotonic, ``stamp_s`` ROS time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from openbms_core.config_file import ConfigError
from openbms_core.types import BmsStatus, FinalLimits
from openbms_drivers.devices.inverter_lv.battery import (
    BatteryFacts,
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
)
from openbms_drivers.devices.inverter_lv.profile import FrameSpec, Profile
from openbms_drivers.devices.inverter_lv.requests import ChargeRequests
from openbms_drivers.devices.inverter_lv.situation import Situation, SituationWatch, situation_of
from openbms_drivers.devices.inverter_lv.supervision import InverterWatch
from openbms_drivers.devices.inverter_lv.vocabulary import ALARMS
from openbms_drivers.frame import Frame

__all__ = ["GatewaySettings", "InverterGateway", "Report"]

STEP_S = 0.05
"""Longest time between two looks at what has expired."""
_KEEP_S = {"measurement": 0.5, "soc": 2.0, "soh": 3600.0, "faults": 3.0, "state": 0.5, "limits": 0.5}
"""How long each input counts, unless it says so itself. Health changes over weeks and comes seldom."""
_FALL = 0.95
"""A limit below this part of the one that was sent is told at once."""


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
        self._charge_v, self._discharge_v = self._voltages()
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
        self._withheld: set[int] = set()
        self._intruder = ""
        self._silent = True
        self._situation = Situation.STARTING
        self._sent: tuple[float, float, float] = (0.0, 0.0, math.nan)

    def _voltages(self) -> tuple[float, float]:
        facts, rule, settings = self.facts, self.profile.charge_voltage, self.settings
        series = facts.cells_in_series
        highest_v = series * facts.cell_maximum_v[1]
        charge_v = settings.charge_voltage_v or series * facts.cell_maximum_v[0]
        discharge_v = settings.discharge_voltage_v or series * facts.cell_minimum_v[1]
        if charge_v > highest_v + 1e-9:
            raise ConfigError(
                f"charge_voltage_v: {charge_v:g} V is above {highest_v:g} V, the recommended maximum of "
                f"{series} cells in series. Lower it."
            )
        if not rule.minimum_v <= charge_v <= rule.maximum_v:
            raise ConfigError(
                f"charge_voltage_v: this battery charges to {charge_v:g} V, but the profile "
                f"'{self.profile.name}' takes {rule.minimum_v:g} to {rule.maximum_v:g} V. Take another "
                "profile, or a battery of this voltage class."
            )
        if not 0.0 < discharge_v < charge_v:
            raise ConfigError(
                f"discharge_voltage_v: {discharge_v:g} V must lie between 0 and the charge voltage "
                f"({charge_v:g} V)."
            )
        return charge_v, discharge_v

    # ---- in

    def take(
        self,
        name: Literal["limits", "state", "measurement", "soc", "soh", "faults"],
        value: Any,
        now_s: float,
        valid_for_s: float | None = None,
    ) -> None:
        """Take an input; ``faults`` is a list of identifier and level of each active or latched one."""
        keep_s = _KEEP_S[name] if valid_for_s is None else valid_for_s
        self._newest[name] = (value, now_s, keep_s)

    def set_not_monitored(self, rows: tuple[str, ...]) -> None:
        """Take the rows of the fault table that this pack cannot monitor."""
        self._not_monitored = rows

    def receive(self, frame: Frame) -> None:
        """Take a frame from the inverter's bus."""
        self._intruder = self.inverter.receive(frame, self._own) or self._intruder

    def _get(self, name: str, now_s: float) -> Any:
        value, received_s, keep_s = self._newest.get(name, (None, -math.inf, 0.0))
        return value if 0.0 <= now_s - received_s <= keep_s else None

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
        lasted_s = self._watch.step(self._situation, now_s)
        values, items, texts = self._content(status, limits, now_s, stamp_s)
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
        return self._due(values, items, texts, now_s, stamp_s)

    def _content(
        self, status: BmsStatus | None, limits: FinalLimits | None, now_s: float, stamp_s: float
    ) -> tuple[dict[str, float], dict[str, bool | None], Any]:
        measured = self._get("measurement", now_s)
        soc, soh, faults = (self._get(name, now_s) for name in ("soc", "soh", "faults"))
        battery_v = battery_voltage_v(self.facts, measured)
        charge_a = discharge_a = 0.0
        inverter_lost = self.inverter.lost(now_s)
        held = inverter_lost and self.settings.on_inverter_lost == "zero"
        if self._situation is Situation.CONNECTED and status is not None and limits is not None and not held:
            charge_a, discharge_a = received_currents_a(limits, battery_v, self._charge_v)
            charge_a = charge_a if status.charge_allowed else 0.0
            discharge_a = discharge_a if status.discharge_allowed else 0.0
        rule = self.profile.charge_voltage
        _, share = charge_voltage_limit_v(rule, self._charge_v, battery_v, charging_allowed=charge_a > 0.0)
        charge_a = self._charge.step(charge_a * share, now_s)
        discharge_a = self._discharge.step(discharge_a, now_s)
        charge_v, _ = charge_voltage_limit_v(rule, self._charge_v, battery_v, charging_allowed=charge_a > 0.0)
        self._sent = (charge_a, discharge_a, charge_v)
        values = battery_values(self.facts, measured, soc, soh, status)
        least_a = self.profile.smallest_current_a
        values |= {
            "charge_voltage_limit_v": charge_v,
            "discharge_voltage_limit_v": math.ceil(round(10.0 * self._discharge_v, 6)) / 10.0,
            "charge_current_limit_a": max(charge_a, least_a),
            "discharge_current_limit_a": max(discharge_a, least_a),
        }
        items = cause_items(faults, self._not_monitored)
        items |= self.requests.step(
            soc.soc if soc is not None else math.nan, stamp_s, charging_allowed=charge_a > 0.0
        )
        items["charge_enable"] = charge_a > 0.0
        items["discharge_enable"] = discharge_a > 0.0
        items["offline"] = self._situation is not Situation.CONNECTED
        return values, items, battery_texts(self.facts, measured)

    def _due(
        self,
        values: dict[str, float],
        items: dict[str, bool | None],
        texts: Any,
        now_s: float,
        stamp_s: float,
    ) -> list[Frame]:
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
            data = self._encoder.encode(frame, values, items, texts)
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
        if self._intruder:
            return Report(2, self._intruder, values)
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
