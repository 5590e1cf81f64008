"""Draws of faults on the bus, in contactors, inputs, actuators and in the computer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fault_campaign.cases import Case, Must
from fault_campaign.dice import AMBIENT_DEGC, CLOSED, USES, Dice
from fault_campaign.system_faults import (
    ClockSteps,
    DriverDies,
    DriverHangs,
    EstimatorSilent,
    ForeignConfiguration,
    MonitorDies,
    MonitorHangs,
    ScanRepeats,
)
from openbms_sim.device import CELLS, MODULES

__all__ = ["SYSTEM_DRAWS"]

OPENS_S = 1.0
"""Where command or heartbeat expire, the contacts are open within this time (MONITOR_LATE tolerates as
much).
"""
PRECHARGE_RUN_S = 30.0
OPEN = "contacts open"
"""In the place of a row: what counts is that the string is open."""


# ---- frames -------------------------------------------------------------------------------------------


def _message(dice: Dice) -> str:
    module = dice.whole(MODULES)
    return dice.one_of(
        (
            f"Cmu{module}_CellVoltages",
            f"Cmu{module}_Temperatures",
            f"Cmu{module}_*",
            "Pack_Current",
            "Pack_Status",
            "Pack_Voltages",
            "Pack_Insulation",
            "Pack_*",
            "Cmu*_CellVoltages",
            "Cmu*_Temperatures",
        )
    )


def _run_s(message: str) -> float:
    """Give a run that is longer than what the slowest row of a message tolerates."""
    return 34.0 if any(part in message for part in ("Temperatures", "_*", "Insulation")) else 9.0


def _frames(kind: str, **fixed: Any) -> Callable[[Dice], Case]:
    def draw(dice: Dice) -> Case:
        variant, point, message = dice.one_of(("long", "short", "long")), dice.point(), _message(dice)
        item: dict[str, Any] = {"fault": kind, "message": message, "start_s": dice.start_s()}
        item |= {key: value(dice) for key, value in fixed.items()}
        if variant == "short":
            item["duration_s"] = dice.between(0.02, 1.0)
        return dice.case(kind, variant, point, [item], run_s=_run_s(message) if variant == "long" else 8.0)

    return draw


def _probability(dice: Dice) -> float:
    return 1.0 if dice.chance(0.6) else dice.between(0.02, 0.9)


def _silence(kind: str, **fixed: Any) -> Callable[[Dice], Case]:
    def draw(dice: Dice) -> Case:
        variant, point = dice.one_of(("long", "short", "blink")), dice.point((*USES, "closing", "opening"))
        item: dict[str, Any] = {
            "fault": kind,
            "start_s": dice.start_s(),
            **{key: value(dice) for key, value in fixed.items()},
        }
        if variant == "blink":
            item["duration_s"] = dice.between(0.01, 0.15)
        elif variant == "short":
            item["duration_s"] = dice.between(0.2, 1.4)
        else:
            item["duration_s"] = dice.between(5.0, 7.5)
        must = (
            [Must(("BUS_LOST", "CURRENT_MISSING", "DRIVER_LOST"), item["start_s"])]
            if variant == "long"
            else []
        )
        return dice.case(kind, variant, point, [item], must=must)

    return draw


def _jitter(dice: Dice) -> Case:
    variant, point = dice.one_of(("small", "large")), dice.point()
    most = dice.between(0.01, 0.09) if variant == "small" else dice.between(0.1, 2.0)
    return dice.case(
        "jitter",
        variant,
        point,
        [{"fault": "jitter", "maximum_s": most, "start_s": dice.start_s()}],
        run_s=15.0,
    )


def _bus_flood(dice: Dice) -> Case:
    variant, point = dice.one_of(("full", "half")), dice.point()
    load = 1.0 if variant == "full" else dice.between(0.2, 0.7)
    item = {"fault": "bus_flood", "identifier": 0, "load": load, "start_s": dice.start_s()}
    must = (
        [Must(("BUS_LOST", "CURRENT_MISSING", "DRIVER_LOST"), item["start_s"])] if variant == "full" else []
    )
    return dice.case("bus_flood", variant, point, [item], must=must)


def _link_voltage_sensor(dice: Dice) -> Case:
    variant, point = (
        dice.one_of(("offset", "gain", "small", "stuck", "unavailable")),
        dice.point((*USES, "closing")),
    )
    item: dict[str, Any] = {
        "offset": {"fault": "link_voltage_offset", "offset_v": dice.sign() * dice.between(15.0, 60.0)},
        "gain": {
            "fault": "link_voltage_gain",
            "gain": dice.one_of((dice.between(0.5, 0.9), dice.between(1.1, 1.5))),
        },
        "small": {"fault": "link_voltage_offset", "offset_v": dice.sign() * dice.between(0.1, 3.0)},
        "stuck": {"fault": "link_voltage_stuck", "value_v": dice.between(0.0, 300.0)},
        "unavailable": {"fault": "link_voltage_unavailable"},
    }[variant]
    item["start_s"] = dice.start_s()
    must = [Must(("LINK_VOLTAGE_MISSING",), item["start_s"])] if variant == "unavailable" else []
    return dice.case("link_voltage_sensor", variant, point, [item], run_s=33.0, must=must)


def _bus_errors(dice: Dice) -> Case:
    variant, point = dice.one_of(("few", "many")), dice.point()
    rate = dice.log_between(1.0, 50.0) if variant == "few" else dice.log_between(100.0, 1000.0)
    return dice.case(
        "bus_errors", variant, point, [{"fault": "bus_errors", "rate_per_s": rate, "start_s": dice.start_s()}]
    )


def _device_reboot(dice: Dice) -> Case:
    point = dice.point(CLOSED)
    item = {"fault": "device_reboot", "silence_s": dice.between(0.3, 2.0), "refuse_s": dice.between(0.1, 1.0)}
    return dice.case(
        "device_reboot",
        point.use,
        point,
        [{**item, "start_s": dice.start_s()}],
        must=[Must((OPEN,), 0.12, OPENS_S)],
    )


def _frozen_scan(dice: Dice) -> Case:
    point = dice.point(("drive", "connected"), strongest_a=(8.0, 18.0))
    return dice.case(
        "frozen_scan", point.use, point, [{"fault": "frozen_scan", "start_s": dice.start_s()}], run_s=25.0
    )


# ---- contactors ---------------------------------------------------------------------------------------


def _contactor_welded(dice: Dice) -> Case:
    contactor, point = dice.one_of(("positive", "negative", "precharge")), dice.point(CLOSED)
    item = {"fault": "contactor_welded", "contactor": contactor}
    before = contactor == "precharge"
    return dice.case(
        "contactor_welded",
        contactor,
        point,
        [item],
        before=before,
        request="standby",
        request_at_s=dice.between(0.0, 2.0),
    )


def _contactor_fails_to_close(dice: Dice) -> Case:
    contactor, point = dice.one_of(("positive", "negative", "precharge")), dice.point(("closing",))
    must = Must(
        (
            "CONTACTOR_FEEDBACK_MISMATCH",
            "CONTACTOR_FAILED_TO_CLOSE",
            "PRECHARGE_ABORTED",
            "PRECHARGE_TIMEOUT",
        ),
        within_s=PRECHARGE_RUN_S - 3.0,
        of_request=True,
    )
    item = {"fault": "contactor_fails_to_close", "contactor": contactor}
    return dice.case(
        "contactor_fails_to_close", contactor, point, [item], before=True, must=[must], run_s=PRECHARGE_RUN_S
    )


def _contactor_drops_out(dice: Dice) -> Case:
    contactor, point = dice.one_of(("positive", "negative")), dice.point(CLOSED)
    item = {"fault": "contactor_drops_out", "contactor": contactor, "start_s": dice.start_s()}
    must = [Must(("CONTACTOR_FEEDBACK_MISMATCH",), item["start_s"])]
    return dice.case("contactor_drops_out", contactor, point, [item], must=must)


def _contactor_feedback(dice: Dice) -> Case:
    value, point = dice.one_of(("open", "closed", "unknown")), dice.point((*USES, "closing", "opening"))
    item: dict[str, Any] = {
        "fault": "contactor_feedback",
        "contactor": dice.one_of(("positive", "negative", "precharge")),
        "value": value,
    }
    item["start_s"] = dice.start_s()
    if dice.chance(0.3):
        item["duration_s"] = dice.between(0.02, 0.25)
    return dice.case("contactor_feedback", value, point, [item], run_s=10.0)


def _precharge(kind: str, **fixed: Any) -> Callable[[Dice], Case]:
    def draw(dice: Dice) -> Case:
        point, own = dice.point(("closing",)), dice.pack.contactors.precharge
        assert own is not None
        item = {"fault": kind, **{key: value(dice) for key, value in fixed.items()}}
        whole_s = own.attempts * (own.timeout_s + 1.0) + (own.attempts - 1) * own.wait_between_attempts_s
        rows = ("PRECHARGE_TIMEOUT", "CONTACTOR_FAILED_TO_CLOSE", "LINK_LIVE")
        must = [Must(rows, within_s=whole_s + 1.0, of_request=True)]
        return dice.case(kind, "closing", point, [item], before=True, must=must, run_s=PRECHARGE_RUN_S)

    return draw


# ---- inputs -------------------------------------------------------------------------------------------


def _insulation(dice: Dice) -> Case:
    variant, point = dice.one_of(("error", "warning", "fine", "short")), dice.point()
    volts = 96 * dice.ocv_v(point.soc)
    span = {"error": (0.001, 0.9), "warning": (1.15, 4.5), "fine": (5.6, 40.0), "short": (0.001, 0.9)}[
        variant
    ]
    item: dict[str, Any] = {
        "fault": "insulation",
        "resistance_ohm": dice.between(*span) * 100.0 * volts,
        "start_s": dice.start_s(),
    }
    if variant == "short":
        item["duration_s"] = dice.between(0.1, 0.9)
    return dice.case("insulation", variant, point, [item], run_s=13.0)


def _insulation_unknown(dice: Dice) -> Case:
    variant, point = dice.one_of(("long", "short")), dice.point()
    item: dict[str, Any] = {"fault": "insulation_unknown", "start_s": dice.start_s()}
    if variant == "short":
        item["duration_s"] = dice.between(0.5, 3.5)
    must = [Must(("INSULATION_MISSING",), item["start_s"])] if variant == "long" else []
    return dice.case(
        "insulation_unknown", variant, point, [item], run_s=33.0 if variant == "long" else 12.0, must=must
    )


def _input(kind: str, short_s: tuple[float, float], **fixed: Any) -> Callable[[Dice], Case]:
    def draw(dice: Dice) -> Case:
        variant, point = dice.one_of(("long", "short", "long")), dice.point((*USES, "closing", "opening"))
        item: dict[str, Any] = {
            "fault": kind,
            "start_s": dice.start_s(),
            **{key: value(dice) for key, value in fixed.items()},
        }
        if point.use == "closing":
            item["start_s"] = dice.between(0.0, 1.5)
        if variant == "short":
            item["duration_s"] = dice.between(*short_s)
        return dice.case(kind, variant, point, [item])

    return draw


def _charging_plug(dice: Dice) -> Case:
    point = dice.point(("drive", "connected", "standby"))
    item: dict[str, Any] = {"fault": "charging_plug", "plugged": True, "start_s": dice.start_s()}
    if dice.chance(0.3):
        item["duration_s"] = dice.between(0.05, 0.8)
    return dice.case("charging_plug", point.use, point, [item], run_s=13.0)


def _supply_voltage(dice: Dice) -> Case:
    variant, point = dice.one_of(("low", "high", "fine", "crank")), dice.point()
    value = {"low": (0.0, 7.0), "high": (18.0, 36.0), "fine": (10.5, 15.0), "crank": (7.0, 9.0)}[variant]
    item: dict[str, Any] = {
        "fault": "supply_voltage",
        "value_v": dice.between(*value),
        "start_s": dice.start_s(),
    }
    if variant == "crank":
        item["duration_s"] = dice.between(0.05, 0.15)
    return dice.case("supply_voltage", variant, point, [item], run_s=12.0)


# ---- actuators ----------------------------------------------------------------------------------------


def _plain(
    kind: str,
    run_s: float,
    row: str = "",
    uses: tuple[str, ...] = USES,
    ambient_degc: tuple[float, float] = AMBIENT_DEGC,
    **fixed: Any,
) -> Callable[[Dice], Case]:
    def draw(dice: Dice) -> Case:
        point = dice.point(uses, ambient_degc=ambient_degc)
        item = {
            "fault": kind,
            "start_s": dice.start_s(),
            **{key: value(dice) for key, value in fixed.items()},
        }
        must = [Must((row,), item["start_s"])] if row else []
        return dice.case(kind, point.use, point, [item], run_s=run_s, must=must)

    return draw


def _coolant(dice: Dice) -> Case:
    variant, point = dice.one_of(("coolant_blocked", "pump_stopped")), dice.point()
    row = {"coolant_blocked": "COOLANT_FLOW_LOW", "pump_stopped": "PUMP_FAILURE"}[variant]
    item = {"fault": variant, "start_s": dice.start_s()}
    return dice.case("coolant", variant, point, [item], run_s=33.0, must=[Must((row,), item["start_s"])])


# ---- the computer -------------------------------------------------------------------------------------


def _estimator_silent(dice: Dice) -> Case:
    variant, point = dice.one_of(("long", "short")), dice.point(soc=(0.3, 0.8))
    start_s = dice.start_s()
    duration_s = None if variant == "long" else dice.between(0.1, 0.8)
    # power limits that were sent before are fresh for another second, and the first after 1 s tell it
    must = [Must(("ESTIMATOR_LOST",), start_s)] if variant == "long" else []
    return dice.case(
        "estimator_silent", variant, point, faults=[EstimatorSilent(start_s, duration_s)], must=must
    )


def _process(kind: str, fault: Any, row: str, short_s: tuple[float, float]) -> Callable[[Dice], Case]:
    """A process hangs or dies: its heartbeat or its commands expire, and it is said when it (or the
    other) is back.
    """

    def draw(dice: Dice) -> Case:
        variant = "long" if fault in (MonitorDies, DriverDies) else dice.one_of(("long", "short"))
        point, start_s = dice.point(CLOSED), dice.start_s()
        duration_s = dice.between(1.2, 3.0) if variant == "long" else dice.between(*short_s)
        must: list[Must] = []
        if variant == "long":
            told_s = start_s + duration_s if fault in (MonitorDies, MonitorHangs) else start_s
            must = [Must((OPEN,), start_s, OPENS_S), Must((row,), told_s)]
        return dice.case(kind, variant, point, faults=[fault(start_s, duration_s)], must=must)

    return draw


def _clock_steps(dice: Dice) -> Case:
    variant, point = dice.one_of(("small", "hour", "back")), dice.point()
    step = {
        "small": dice.sign() * dice.between(0.01, 0.9),
        "hour": dice.between(1.5, 4000.0),
        "back": -dice.between(1.5, 4000.0),
    }
    must = [] if variant == "small" else [Must(("CLOCK_JUMP",), 0.12)]
    return dice.case(
        "clock_steps", variant, point, faults=[ClockSteps(dice.start_s(), None, step[variant])], must=must
    )


def _foreign_configuration(dice: Dice) -> Case:
    point, start_s = dice.point(), dice.start_s()
    return dice.case(
        "foreign_configuration",
        point.use,
        point,
        faults=[ForeignConfiguration(start_s)],
        must=[Must(("CONFIG_MISMATCH",), start_s)],
    )


def _scan_repeats(dice: Dice) -> Case:
    variant, point, start_s = dice.one_of(("long", "short")), dice.point(CLOSED), dice.start_s()
    duration_s = None if variant == "long" else dice.between(0.05, 0.25)
    must = [Must(("SCAN_NOT_ADVANCING",), start_s)] if variant == "long" else []
    return dice.case("scan_repeats", variant, point, faults=[ScanRepeats(start_s, duration_s)], must=must)


SYSTEM_DRAWS: dict[str, tuple[tuple[str, ...], Callable[[Dice], Case]]] = {
    "drop_message": (("drop_message",), _frames("drop_message", probability=_probability)),
    "wrong_checksum": (("wrong_checksum",), _frames("wrong_checksum")),
    "frozen_counter": (("frozen_counter",), _frames("frozen_counter")),
    "wrong_length": (("wrong_length",), _frames("wrong_length", length=lambda dice: dice.whole(8))),
    "counter_jump": (("counter_jump",), _frames("counter_jump", jump=lambda dice: 1 + dice.whole(14))),
    "late_message": (
        ("late_message",),
        _frames("late_message", delay_s=lambda dice: dice.log_between(0.005, 2.0)),
    ),
    "duplicate_message": (
        ("duplicate_message",),
        _frames("duplicate_message", copies=lambda dice: 1 + dice.whole(4)),
    ),
    "reorder_message": (("reorder_message",), _frames("reorder_message", probability=_probability)),
    "corrupt_message": (
        ("corrupt_message",),
        _frames("corrupt_message", flips=lambda dice: 1 + dice.whole(8), probability=_probability),
    ),
    "jitter": (("jitter",), _jitter),
    "silent_bus": (("silent_bus",), _silence("silent_bus")),
    "bus_off": (("bus_off",), _silence("bus_off", side=lambda dice: dice.one_of(("device", "host")))),
    "bit_rate_mismatch": (
        ("bit_rate_mismatch",),
        _silence("bit_rate_mismatch", error_frames=lambda dice: dice.chance(0.5)),
    ),
    "bus_flood": (("bus_flood",), _bus_flood),
    "bus_errors": (("bus_errors",), _bus_errors),
    "device_reboot": (("device_reboot",), _device_reboot),
    "frozen_scan": (("frozen_scan",), _frozen_scan),
    "contactor_welded": (("contactor_welded",), _contactor_welded),
    "contactor_fails_to_close": (("contactor_fails_to_close",), _contactor_fails_to_close),
    "contactor_drops_out": (("contactor_drops_out",), _contactor_drops_out),
    "contactor_feedback": (("contactor_feedback",), _contactor_feedback),
    "precharge_resistor_open": (("precharge_resistor_open",), _precharge("precharge_resistor_open")),
    "link_voltage_sensor": (("link_voltage_offset",), _link_voltage_sensor),
    "link_load": (
        ("link_load",),
        _precharge("link_load", resistance_ohm=lambda dice: dice.log_between(20.0, 2000.0)),
    ),
    "insulation": (("insulation",), _insulation),
    "insulation_unknown": (("insulation_unknown",), _insulation_unknown),
    "interlock_open": (("interlock_open",), _input("interlock_open", (0.01, 0.08))),
    "emergency_stop": (("emergency_stop",), _input("emergency_stop", (0.01, 0.2))),
    "smoke": (("smoke",), _input("smoke", (0.02, 0.35))),
    "gas": (("gas",), _input("gas", (0.02, 0.35))),
    "input_unknown": (
        ("input_unknown",),
        _input(
            "input_unknown",
            (0.02, 0.08),
            input=lambda dice: dice.one_of(("interlock", "emergency_stop", "smoke")),
        ),
    ),
    "pressure": (
        ("pressure",),
        _input("pressure", (0.02, 0.08), value_pa=lambda dice: dice.between(90e3, 300e3)),
    ),
    "ignition": (("ignition",), _input("ignition", (0.02, 2.0), switched_on=lambda dice: dice.chance(0.5))),
    "charging_plug": (("charging_plug",), _charging_plug),
    "supply_voltage": (("supply_voltage",), _supply_voltage),
    "bleed_stuck_on": (
        ("bleed_stuck_on",),
        _plain("bleed_stuck_on", 25.0, "BLEED_STUCK_ON", cell=lambda dice: dice.whole(CELLS)),
    ),
    "heater_stuck_on": (
        ("heater_stuck_on",),
        # below 5 °C the heater is told to run, and nobody can tell that it would run anyway
        _plain("heater_stuck_on", 33.0, "HEATER_STUCK_ON", CLOSED, ambient_degc=(6.0, AMBIENT_DEGC[1])),
    ),
    "pressure_unavailable": (
        ("pressure_unavailable",),
        _plain("pressure_unavailable", 33.0, "PRESSURE_MISSING"),
    ),
    "coolant_flow_stuck": (
        ("coolant_flow_stuck",),
        _plain("coolant_flow_stuck", 35.0, value_l_per_min=lambda dice: dice.between(0.0, 12.0)),
    ),
    "heater_dead": (("heater_dead",), _plain("heater_dead", 12.0)),
    "chiller_dead": (("chiller_dead",), _plain("chiller_dead", 12.0)),
    "coolant": (("coolant_blocked", "pump_stopped"), _coolant),
    "fan_dead": (("fan_dead",), _plain("fan_dead", 33.0, "FAN_FAILURE")),
    "estimator_silent": ((), _estimator_silent),
    "monitor_hangs": ((), _process("monitor_hangs", MonitorHangs, "MONITOR_LATE", (0.02, 0.35))),
    "monitor_dies": ((), _process("monitor_dies", MonitorDies, "MONITOR_DIED", (0.1, 0.2))),
    "driver_hangs": ((), _process("driver_hangs", DriverHangs, "DRIVER_LOST", (0.02, 0.3))),
    "driver_dies": ((), _process("driver_dies", DriverDies, "DRIVER_LOST", (0.1, 0.2))),
    "clock_steps": ((), _clock_steps),
    "foreign_configuration": ((), _foreign_configuration),
    "scan_repeats": ((), _scan_repeats),
}
"""How each kind is drawn, with the injections of the twin that it needs."""
