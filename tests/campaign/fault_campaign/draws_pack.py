"""Draws of faults in cells, sensors and use of the pack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fault_campaign.cases import Case, Must
from fault_campaign.dice import CLOSED, SENSORS, USES, Dice, Point
from fault_campaign.system_faults import LoadDefies
from openbms_sim.device import CELLS, MODULES

__all__ = ["PACK_DRAWS"]

LONG_S = 12.0
"""Run of a fault whose rows tolerate seconds."""
HEAT_RUN_S = 14.0
"""Temperatures tolerate 10 s."""
MOVES_S = 15.0
"""Within this time the vehicle's random cycle has moved all cells up and down."""
MISSING_RUN_S = 33.0
"""Missing temperatures and insulation tolerate 30 s."""


def _lasts(
    dice: Dice, variant: str, short_s: tuple[float, float], edge_s: tuple[float, float]
) -> dict[str, Any]:
    """Give start and duration: short ones are over before the debounce, those at the edge about with it."""
    timing: dict[str, Any] = {"start_s": dice.start_s()}
    if variant == "short":
        timing["duration_s"] = dice.between(*short_s)
    elif variant == "edge":
        timing["duration_s"] = dice.between(*edge_s)
    return timing


def _healthy(dice: Dice) -> Case:
    variant = dice.one_of(("use", "hard use", "to standby", "cold", "hot", "full", "empty"))
    soc, ambient = (0.12, 0.92), (5.0, 35.0)
    soc = {"full": (0.93, 0.99), "empty": (0.03, 0.12)}.get(variant, soc)
    ambient = {"cold": (-18.0, 0.0), "hot": (38.0, 50.0)}.get(variant, ambient)
    strongest = (18.0, 22.0) if variant != "use" else (2.0, 18.0)
    point = dice.point(
        ("drive", "connected", "charge", "standby", "closing", "opening"), soc, ambient, strongest
    )
    request = "standby" if variant == "to standby" and point.use in CLOSED else ""
    return dice.case(
        "healthy", variant, point, run_s=20.0, request=request, request_at_s=dice.between(0.0, 5.0)
    )


# ---- cell voltages ------------------------------------------------------------------------------------


def _voltage_goal(dice: Dice, variant: str, point: Point) -> float:
    """Give the offset that brings a cell where the variant wants it, at rest [V]."""
    high, low, now = dice.limits.cell_voltage_max_v, dice.limits.cell_voltage_min_v, dice.ocv_v(point.soc)
    # under load cells sag by about 35 mΩ
    sag = 0.035 * point.strongest_a
    over = high.safety + sag + dice.between(0.02, 0.5) - now
    under = max(low.safety - dice.between(0.02, 1.0), 0.0) - now
    return {
        "over": over,
        "under": under,
        "high": dice.between(high.operating, high.safety) - now,
        "low": dice.between(low.safety, low.operating) - now,
        "small": dice.sign() * dice.between(0.001, 0.05),
        "short": over if dice.chance(0.5) else under,
        "edge": over if dice.chance(0.5) else under,
    }[variant]


_VOLTAGE_VARIANTS = ("over", "under", "high", "low", "small", "short", "edge")


def _cell_voltage_offset(dice: Dice) -> Case:
    variant, point = dice.one_of(_VOLTAGE_VARIANTS), dice.point((*USES, "closing", "opening"))
    item = {
        "fault": "cell_voltage_offset",
        "cell": dice.whole(CELLS),
        "offset_v": round(_voltage_goal(dice, variant, point), 4),
    }
    timing = _lasts(dice, variant, (0.03, 0.35), (0.4, 1.0))
    if point.use == "closing":
        timing["start_s"] = dice.between(0.0, 1.5)
    # a jump beyond what load explains, and not beyond what a front end can say
    reads_v, jump_v = dice.ocv_v(point.soc) + item["offset_v"], abs(item["offset_v"])
    clear = "duration_s" not in timing and jump_v > 0.45 + 0.04 * point.strongest_a and 0.7 < reads_v < 4.9
    must = [Must(("CELL_VOLTAGE_RATE",), timing["start_s"])] if clear else []
    return dice.case("cell_voltage_offset", variant, point, [{**item, **timing}], must=must, run_s=11.0)


def _cell_voltage_gain(dice: Dice) -> Case:
    variant, point = dice.one_of(("over", "under", "small")), dice.point()
    gain = {
        "over": dice.between(1.15, 1.6),
        "under": dice.between(0.0, 0.65),
        "small": dice.between(0.99, 1.01),
    }[variant]
    item = {"fault": "cell_voltage_gain", "cell": dice.whole(CELLS), "gain": gain, "start_s": dice.start_s()}
    return dice.case("cell_voltage_gain", variant, point, [item])


def _cell_voltage_noise(dice: Dice) -> Case:
    variant, point = dice.one_of(("small", "large")), dice.point()
    sigma = dice.between(0.001, 0.005) if variant == "small" else dice.between(0.05, 1.5)
    item = {
        "fault": "cell_voltage_noise",
        "cell": dice.whole(CELLS),
        "sigma_v": sigma,
        "start_s": dice.start_s(),
    }
    return dice.case("cell_voltage_noise", variant, point, [item], run_s=LONG_S)


def _cell_voltage_drift(dice: Dice) -> Case:
    variant, point = dice.one_of(("up", "down")), dice.point()
    rate = dice.log_between(0.05, 0.5) * (1.0 if variant == "up" else -1.0)
    item = {
        "fault": "cell_voltage_drift",
        "cell": dice.whole(CELLS),
        "rate_v_per_s": rate,
        "start_s": dice.start_s(),
    }
    return dice.case("cell_voltage_drift", variant, point, [item], run_s=25.0)


def _cell_voltage_stuck(dice: Dice) -> Case:
    variant, point = dice.one_of(("over", "under", "zero", "full scale", "hold")), dice.point()
    limits = dice.limits
    value = {
        "over": limits.cell_voltage_max_v.safety + dice.between(0.01, 0.5),
        "under": limits.cell_voltage_min_v.safety - dice.between(0.01, 1.0),
        "zero": 0.0,
        "full scale": 5.0,
        "hold": None,
    }[variant]
    item = {
        "fault": "cell_voltage_stuck",
        "cell": dice.whole(CELLS),
        "value_v": value,
        "start_s": dice.start_s(),
    }
    # it stands still while the others move: the vehicle needs some seconds to move them
    hard = point.use in ("drive", "connected") and point.strongest_a > 8.0 and variant == "hold"
    must = [Must(("CELL_VOLTAGE_STUCK",), item["start_s"], MOVES_S + 10.0)] if hard else []
    run_s = MOVES_S + 12.0 if hard else LONG_S
    return dice.case("cell_voltage_stuck", variant, point, [item], run_s=run_s, must=must)


def _cell_open_wire(dice: Dice) -> Case:
    variant, point = dice.one_of(("not_available", "short")), dice.point()
    item = {
        "fault": "cell_open_wire",
        "cell": dice.whole(CELLS),
        **_lasts(dice, variant, (0.03, 0.35), (0.4, 1.0)),
    }
    must = [] if variant == "short" else [Must(("CELL_OPEN_WIRE",), item["start_s"])]
    return dice.case("cell_open_wire", variant, point, [item], must=must)


def _cell_open_wire_hidden(dice: Dice) -> Case:
    variant, point = dice.one_of(("mirrored", "drifting")), dice.point()
    item: dict[str, Any] = {
        "fault": "cell_open_wire",
        "cell": dice.whole(CELLS),
        "mode": variant,
        "start_s": dice.start_s(),
    }
    if variant == "mirrored":
        item |= {"shift_v": dice.sign() * dice.between(0.5, 1.5), "time_constant_s": dice.between(0.1, 2.0)}
    else:
        item |= {"rate_v_per_s": dice.sign() * dice.between(0.05, 0.3)}
    must = Must(
        ("CELL_OPEN_WIRE", "CELL_VOLTAGE_SPREAD", "CELL_OVER_VOLTAGE_SAFETY", "CELL_UNDER_VOLTAGE_SAFETY"),
        within_s=20.0,
    )
    return dice.case("cell_open_wire", variant, point, [item], run_s=25.0, must=[must])


def _module_voltage_gain(dice: Dice) -> Case:
    variant, point = dice.one_of(("over", "under", "small")), dice.point()
    gain = {
        "over": dice.between(1.15, 1.3),
        "under": dice.between(0.4, 0.65),
        "small": dice.between(0.997, 1.003),
    }[variant]
    item = {
        "fault": "module_voltage_gain",
        "module": dice.whole(MODULES),
        "gain": gain,
        "start_s": dice.start_s(),
    }
    return dice.case("module_voltage_gain", variant, point, [item])


def _module_voltage_stuck(dice: Dice) -> Case:
    point = dice.point(("drive", "charge", "standby"), strongest_a=(8.0, 18.0))
    item = {"fault": "module_voltage_stuck", "module": dice.whole(MODULES), "start_s": dice.start_s()}
    must = [Must(("CELL_VOLTAGE_STUCK",), item["start_s"], MOVES_S + 10.0)] if point.use == "drive" else []
    return dice.case("module_voltage_stuck", point.use, point, [item], run_s=MOVES_S + 12.0, must=must)


def _string_voltage_sensor(dice: Dice) -> Case:
    variant, point = dice.one_of(("offset", "gain", "small", "stuck", "unavailable")), dice.point()
    item: dict[str, Any] = {
        "offset": {"fault": "string_voltage_offset", "offset_v": dice.sign() * dice.between(8.0, 60.0)},
        "gain": {
            "fault": "string_voltage_gain",
            "gain": dice.one_of((dice.between(0.5, 0.95), dice.between(1.05, 1.5))),
        },
        "small": {"fault": "string_voltage_offset", "offset_v": dice.sign() * dice.between(0.1, 1.5)},
        "stuck": {"fault": "string_voltage_stuck", "value_v": dice.between(0.0, 500.0)},
        "unavailable": {"fault": "string_voltage_unavailable"},
    }[variant]
    return dice.case(
        "string_voltage_sensor", variant, point, [{**item, "start_s": dice.start_s()}], run_s=LONG_S
    )


# ---- cells --------------------------------------------------------------------------------------------


def _cell_internal_short(dice: Dice) -> Case:
    variant, point = dice.one_of(("hard", "soft", "tiny")), dice.point(soc=(0.2, 0.92))
    ohm = {"hard": (0.05, 0.1), "soft": (0.1, 1.0), "tiny": (20.0, 500.0)}[variant]
    item = {
        "fault": "cell_internal_short",
        "cell": dice.whole(CELLS),
        "resistance_ohm": dice.log_between(*ohm),
    }
    return dice.case("cell_internal_short", variant, point, [{**item, "start_s": dice.start_s()}], run_s=25.0)


def _cell_self_discharge(dice: Dice) -> Case:
    variant, point = dice.one_of(("leak", "heavy")), dice.point(soc=(0.2, 0.92))
    current = dice.log_between(0.005, 0.2) if variant == "leak" else dice.log_between(10.0, 50.0)
    item = {
        "fault": "cell_self_discharge",
        "cell": dice.whole(CELLS),
        "current_a": current,
        "start_s": dice.start_s(),
    }
    return dice.case("cell_self_discharge", variant, point, [item], run_s=20.0)


def _connection_resistance(dice: Dice) -> Case:
    variant, point = (
        dice.one_of(("slight", "bad")),
        dice.point(("drive", "connected", "charge"), strongest_a=(8.0, 18.0)),
    )
    ohm = dice.log_between(0.0005, 0.003) if variant == "slight" else dice.log_between(0.05, 1.0)
    item = {
        "fault": "connection_resistance",
        "cell": dice.whole(CELLS),
        "resistance_ohm": ohm,
        "start_s": dice.start_s(),
    }
    return dice.case("connection_resistance", variant, point, [item], run_s=20.0)


def _cell_thermal_runaway(dice: Dice) -> Case:
    point = dice.point(soc=(0.4, 0.92), ambient_degc=(10.0, 38.0))
    item = {
        "fault": "cell_thermal_runaway",
        "cell": dice.whole(CELLS),
        "short_ohm": dice.log_between(0.06, 0.5),
        "ramp_s": dice.between(5.0, 30.0),
        "start_s": dice.start_s(),
    }
    # from 175 °C on a cell heats itself by more than 1 °C/s; GB 38031-2025 allows 300 s to the alarm
    must = [Must(("THERMAL_RUNAWAY_EMERGENCY",), 0.0, 30.0, core_degc=175.0)]
    return dice.case("cell_thermal_runaway", point.use, point, [item], run_s=140.0, must=must)


def _overcharge(dice: Dice) -> Case:
    point = Point(
        dice.one_of(("drive", "connected")), dice.between(0.93, 0.97), dice.between(10.0, 35.0), 4.0
    )
    fault = LoadDefies(dice.start_s(), None, dice.between(5.0, 6.9))
    return dice.case("overcharge", "real", point, faults=[fault], run_s=30.0)


def _overdischarge(dice: Dice) -> Case:
    point = Point("drive", dice.between(0.02, 0.08), dice.between(10.0, 35.0), 3.0)
    fault = LoadDefies(dice.start_s(), None, -dice.between(14.0, 21.9))
    return dice.case("overdischarge", "real", point, faults=[fault], run_s=30.0)


# ---- temperature --------------------------------------------------------------------------------------


def _temperature_goal(dice: Dice, variant: str, point: Point) -> float:
    high, low = (
        dice.limits.discharge_temperature_max_degc.safety,
        dice.limits.discharge_temperature_min_degc.safety,
    )
    over, under = high + dice.between(1.0, 40.0), low - dice.between(1.0, 15.0)
    goal = {
        "over": over,
        "under": under,
        "warm": dice.between(46.0, high - 1.0),
        "small": point.ambient_degc + dice.sign() * dice.between(0.1, 2.0),
        "short": over,
        "edge": over,
    }[variant]
    return goal - point.ambient_degc


def _temperature_offset(dice: Dice) -> Case:
    variant, point = dice.one_of(("over", "under", "warm", "small", "short", "edge")), dice.point()
    offset = _temperature_goal(dice, variant, point)
    item = {
        "fault": "temperature_offset",
        "sensor": f"cell_{dice.whole(SENSORS)}",
        "offset_degc": round(offset, 2),
    }
    timing = _lasts(dice, variant, (0.2, 4.0), (4.3, 6.5))
    clear = "duration_s" not in timing and abs(offset) > 12.0
    must = [Must(("TEMPERATURE_RATE",), timing["start_s"])] if clear else []
    return dice.case("temperature_offset", variant, point, [{**item, **timing}], run_s=17.0, must=must)


def _temperature_gain(dice: Dice) -> Case:
    variant, point = dice.one_of(("over", "small")), dice.point(ambient_degc=(28.0, 38.0))
    gain = dice.between(15.0, 40.0) if variant == "over" else dice.between(0.95, 1.05)
    item = {
        "fault": "temperature_gain",
        "sensor": f"cell_{dice.whole(SENSORS)}",
        "gain": gain,
        "start_s": dice.start_s(),
    }
    return dice.case("temperature_gain", variant, point, [item], run_s=HEAT_RUN_S)


def _temperature_noise(dice: Dice) -> Case:
    variant, point = dice.one_of(("small", "large")), dice.point()
    sigma = dice.between(0.05, 0.4) if variant == "small" else dice.between(5.0, 30.0)
    item = {
        "fault": "temperature_noise",
        "sensor": f"cell_{dice.whole(SENSORS)}",
        "sigma_degc": sigma,
        "start_s": dice.start_s(),
    }
    return dice.case("temperature_noise", variant, point, [item], run_s=HEAT_RUN_S)


def _temperature_drift(dice: Dice) -> Case:
    variant, point = dice.one_of(("up", "down")), dice.point(ambient_degc=(15.0, 35.0))
    rate = dice.between(2.0, 8.0) * (1.0 if variant == "up" else -1.0)
    item = {
        "fault": "temperature_drift",
        "sensor": f"cell_{dice.whole(SENSORS)}",
        "rate_degc_per_s": rate,
        "start_s": dice.start_s(),
    }
    return dice.case("temperature_drift", variant, point, [item], run_s=40.0)


def _temperature_stuck(dice: Dice) -> Case:
    variant, point = dice.one_of(("over", "under", "hold")), dice.point()
    value = (
        None if variant == "hold" else round(point.ambient_degc + _temperature_goal(dice, variant, point), 2)
    )
    item = {
        "fault": "temperature_stuck",
        "sensor": f"cell_{dice.whole(SENSORS)}",
        "value_degc": value,
        "start_s": dice.start_s(),
    }
    return dice.case("temperature_stuck", variant, point, [item], run_s=HEAT_RUN_S)


def _temperature_open(dice: Dice) -> Case:
    variant, point = dice.one_of(("open", "several", "short", "coolant")), dice.point()
    sensor = {"several": f"cell_{dice.whole(3)}*", "coolant": "coolant_*"}.get(
        variant, f"cell_{dice.whole(SENSORS)}"
    )
    item = {"fault": "temperature_open", "sensor": sensor, **_lasts(dice, variant, (0.2, 4.0), (4.3, 6.5))}
    return dice.case("temperature_open", variant, point, [item], run_s=MISSING_RUN_S)


def _hot_pack(dice: Dice) -> Case:
    variant = dice.one_of(("beyond", "warm"))
    ambient = dice.between(66.0, 75.0) if variant == "beyond" else dice.between(46.0, 64.0)
    return dice.case(
        "hot_pack", variant, Point("standby", dice.between(0.2, 0.9), ambient, 0.0), run_s=HEAT_RUN_S
    )


def _cold_charge(dice: Dice) -> Case:
    variant = dice.one_of(("beyond", "cold"))
    ambient = dice.between(-24.5, -20.5) if variant == "beyond" else dice.between(-19.5, 0.0)
    point = Point(dice.one_of(("drive", "connected")), dice.between(0.3, 0.5), ambient, 0.0)
    fault = LoadDefies(dice.start_s(), None, dice.between(0.3, 1.2))
    return dice.case("cold_charge", variant, point, faults=[fault], run_s=HEAT_RUN_S)


def _cold_discharge(dice: Dice) -> Case:
    variant = dice.one_of(("beyond", "cold"))
    ambient = dice.between(-32.0, -25.5) if variant == "beyond" else dice.between(-24.5, -11.0)
    point = Point(dice.one_of(("drive", "connected")), dice.between(0.5, 0.9), ambient, 0.0)
    fault = LoadDefies(dice.start_s(), None, -dice.between(0.3, 2.0))
    return dice.case("cold_discharge", variant, point, faults=[fault], run_s=HEAT_RUN_S)


# ---- current ------------------------------------------------------------------------------------------


def _current_offset(dice: Dice) -> Case:
    variant, point = dice.one_of(("over", "small", "bias", "short", "edge")), dice.point((*USES, "closing"))
    charge, discharge = dice.limits.charge_current_max_a.safety, dice.limits.discharge_current_max_a.safety
    over = dice.one_of(
        (charge + point.strongest_a + dice.between(0.5, 20.0), -discharge - 6.0 - dice.between(0.5, 20.0))
    )
    offset = {
        "small": dice.sign() * dice.between(0.005, 0.1),
        "bias": dice.sign() * dice.between(0.3, 3.0),
    }.get(variant, over)
    item = {
        "fault": "current_offset",
        "offset_a": round(offset, 3),
        **_lasts(dice, variant, (0.01, 0.06), (0.08, 0.4)),
    }
    return dice.case("current_offset", variant, point, [item])


def _current_gain(dice: Dice) -> Case:
    variant, point = dice.one_of(("large", "small", "sign")), dice.point(CLOSED, strongest_a=(5.0, 18.0))
    gain = {"large": dice.between(1.5, 10.0), "small": dice.between(0.97, 1.03), "sign": -1.0}[variant]
    item = {"fault": "current_gain", "gain": gain, "start_s": dice.start_s()}
    return dice.case("current_gain", variant, point, [item], run_s=20.0)


def _current_noise(dice: Dice) -> Case:
    variant, point = dice.one_of(("small", "large")), dice.point()
    sigma = dice.between(0.005, 0.03) if variant == "small" else dice.between(5.0, 40.0)
    item = {"fault": "current_noise", "sigma_a": sigma, "start_s": dice.start_s()}
    return dice.case("current_noise", variant, point, [item])


def _current_drift(dice: Dice) -> Case:
    point = dice.point()
    item = {
        "fault": "current_drift",
        "rate_a_per_s": dice.sign() * dice.between(0.5, 5.0),
        "start_s": dice.start_s(),
    }
    return dice.case("current_drift", point.use, point, [item], run_s=20.0)


def _current_stuck(dice: Dice) -> Case:
    variant, point = dice.one_of(("over", "hold", "zero")), dice.point()
    value = {
        "over": dice.one_of((dice.between(7.2, 40.0), -dice.between(22.2, 60.0))),
        "hold": None,
        "zero": 0.0,
    }[variant]
    item = {"fault": "current_stuck", "value_a": value, "start_s": dice.start_s()}
    hard = point.use in ("drive", "connected") and point.strongest_a > 8.0 and variant != "over"
    must = [Must(("CURRENT_STUCK",), item["start_s"], MOVES_S + 5.0)] if hard else []
    return dice.case(
        "current_stuck", variant, point, [item], run_s=MOVES_S + 12.0 if hard else LONG_S, must=must
    )


def _current_unavailable(dice: Dice) -> Case:
    variant, point = dice.one_of(("long", "short")), dice.point()
    item = {"fault": "current_unavailable", **_lasts(dice, variant, (0.01, 0.08), (0.1, 0.5))}
    must = [Must(("CURRENT_MISSING",), item["start_s"])] if variant == "long" else []
    return dice.case("current_unavailable", variant, point, [item], must=must)


def _over_current(kind: str, sign: float) -> Callable[[Dice], Case]:
    def draw(dice: Dice) -> Case:
        variant = dice.one_of(("beyond", "warning", "short", "edge"))
        limits = dice.limits
        triple = limits.charge_current_max_a if sign > 0 else limits.discharge_current_max_a
        amps = (
            dice.between(triple.operating, triple.safety - 0.2)
            if variant == "warning"
            else triple.safety + dice.between(0.2, 12.0)
        )
        timing = _lasts(dice, variant, (0.01, 0.06), (0.08, 0.4))
        soc = (0.3, 0.7) if sign > 0 else (0.4, 0.9)
        point = dice.point(("drive", "connected"), soc, (15.0, 38.0), (2.0, 5.0))
        return dice.case(
            kind,
            variant,
            point,
            faults=[LoadDefies(timing["start_s"], timing.get("duration_s"), sign * amps)],
        )

    return draw


def _over_current_swinging(dice: Dice) -> Case:
    """A drivetrain that swings: the mean is harmless, the peaks are not."""
    variant = dice.one_of(("both", "discharge"))
    limits, hertz = dice.limits, dice.log_between(0.5, 12.0)
    swing = limits.discharge_current_max_a.safety + dice.between(3.0, 15.0)
    point = dice.point(("drive", "connected"), (0.4, 0.7), (20.0, 38.0), (2.0, 5.0))
    mean = 0.0 if variant == "both" else limits.charge_current_max_a.safety - swing - 0.3
    fault = LoadDefies(dice.start_s(), None, mean, swing, hertz)
    return dice.case("over_current_swinging", variant, point, faults=[fault])


PACK_DRAWS: dict[str, tuple[tuple[str, ...], Callable[[Dice], Case]]] = {
    "healthy": ((), _healthy),
    "cell_voltage_offset": (("cell_voltage_offset",), _cell_voltage_offset),
    "cell_voltage_gain": (("cell_voltage_gain",), _cell_voltage_gain),
    "cell_voltage_noise": (("cell_voltage_noise",), _cell_voltage_noise),
    "cell_voltage_drift": (("cell_voltage_drift",), _cell_voltage_drift),
    "cell_voltage_stuck": (("cell_voltage_stuck",), _cell_voltage_stuck),
    "cell_open_wire": (("cell_open_wire",), _cell_open_wire),
    "cell_open_wire_hidden": (("cell_open_wire", "cell_voltage_drift"), _cell_open_wire_hidden),
    "module_voltage_gain": (("module_voltage_gain",), _module_voltage_gain),
    "module_voltage_stuck": (("module_voltage_stuck",), _module_voltage_stuck),
    "string_voltage_sensor": (("string_voltage_offset",), _string_voltage_sensor),
    "cell_internal_short": (("cell_internal_short",), _cell_internal_short),
    "cell_self_discharge": (("cell_self_discharge",), _cell_self_discharge),
    "connection_resistance": (("connection_resistance",), _connection_resistance),
    "cell_thermal_runaway": (("cell_thermal_runaway",), _cell_thermal_runaway),
    "overcharge": ((), _overcharge),
    "overdischarge": ((), _overdischarge),
    "temperature_offset": (("temperature_offset",), _temperature_offset),
    "temperature_gain": (("temperature_gain",), _temperature_gain),
    "temperature_noise": (("temperature_noise",), _temperature_noise),
    "temperature_drift": (("temperature_drift",), _temperature_drift),
    "temperature_stuck": (("temperature_stuck",), _temperature_stuck),
    "temperature_open": (("temperature_open",), _temperature_open),
    "hot_pack": ((), _hot_pack),
    "cold_charge": ((), _cold_charge),
    "cold_discharge": ((), _cold_discharge),
    "current_offset": (("current_offset",), _current_offset),
    "current_gain": (("current_gain",), _current_gain),
    "current_noise": (("current_noise",), _current_noise),
    "current_drift": (("current_drift",), _current_drift),
    "current_stuck": (("current_stuck",), _current_stuck),
    "current_unavailable": (("current_unavailable",), _current_unavailable),
    "over_current_discharge": ((), _over_current("over_current_discharge", -1.0)),
    "over_current_swinging": ((), _over_current_swinging),
    "over_current_charge": ((), _over_current("over_current_charge", 1.0)),
}
"""How each kind is drawn, with the injections of the twin that it needs."""
