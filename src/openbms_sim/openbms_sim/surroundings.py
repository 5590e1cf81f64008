"""What acts on the pack in a tick: actuators, load, charger and inputs, with what is broken of them."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from openbms_core.types import State
from openbms_sim.device import Device, Switches
from openbms_sim.faults import Injections, plant
from openbms_sim.faults import device as broken
from openbms_sim.interface import Inputs, Readings, RunawayOrder, Source
from openbms_sim.vehicle import Permission

__all__ = ["ACTUATORS", "inputs_of", "load_now", "put_condition", "switches_of", "told_by"]

_USED = (State.DRIVE, State.CHARGE, State.CONNECTED)
ACTUATORS = ("heater", "pump", "fan", "chiller")


def inputs_of(
    device: Device,
    closed: NDArray[np.bool_],
    permission: Permission,
    load_a: float,
    injections: Injections,
    actuators: Collection[str] = ACTUATORS,
) -> Inputs:
    """Give what acts on the pack.

    Parameters
    ----------
    device : Device
        Gives bleed resistors, actuators and charger.
    closed : ndarray of bool, shape (1, 3)
        Real contacts.
    permission : Permission
        What the load has heard.
    load_a : float
        What the load wants, already within the limits [A].
    injections : Injections
        What is wrong now.
    actuators : collection of str
        Those that the pack has: a heater that nobody built in does not heat.
    """
    duties = {name: getattr(device, name) if name in actuators else 0.0 for name in ACTUATORS}
    for dead in injections.of(plant.ActuatorDead):
        duties[dead.actuator] = 0.0
    load_a, zero = load_now(permission, load_a, injections)
    return Inputs(
        closed=closed,
        zero_current=zero,
        load_current_a=load_a,
        charger_enable=device.charger_enable,
        charger_voltage_v=device.charger_voltage_v,
        charger_current_a=min(device.charger_current_a, permission.charge_limit_a),
        bleed=device.bleed,
        **duties,
        precharge_open=injections.acts(plant.PrechargeResistorOpen),
        short_ohm=_shorts(injections, device.bleed.size),
        connection_ohm=_connections(injections, device.bleed.size),
        coolant=math.prod(item.remaining for item in injections.of(plant.CoolantBlocked)),
        link_load_ohm=min((item.resistance_ohm for item in injections.of(plant.LinkLoad)), default=math.inf),
        runaways=tuple(
            RunawayOrder(item.cell, item.short_ohm, item.ramp_s, item.self_heating)
            for item in injections.of(plant.CellThermalRunaway)
        ),
    )


def load_now(permission: Permission, load_a: float, injections: Injections) -> tuple[float, bool]:
    """Give the current of the load [A] and whether it is off.

    Parameters
    ----------
    permission : Permission
        What the load has heard.
    load_a : float
        What the load wants, already within the limits [A].
    injections : Injections
        What is wrong now: another load may be told.
    """
    zero = permission.zero_current
    for item in injections.of(plant.Load):
        if not item.obeys:
            load_a, zero = item.current_a, False
        elif zero or permission.state not in _USED:
            load_a = 0.0
        else:
            load_a = min(max(item.current_a, -permission.discharge_limit_a), permission.charge_limit_a)
    return load_a, zero


def _shorts(injections: Injections, cells: int) -> NDArray[np.float64] | None:
    items = injections.of(plant.CellInternalShort, plant.CellSelfDischarge)
    if not items:
        return None
    siemens = np.zeros(cells)
    for item in items:
        # a leak that takes its current at the cell's nominal voltage
        short = isinstance(item, plant.CellInternalShort)
        siemens[item.cell] += 1.0 / item.resistance_ohm if short else item.current_a / _NOMINAL_V
    with np.errstate(divide="ignore"):
        return np.asarray(1.0 / siemens)


_NOMINAL_V = 3.6


def _connections(injections: Injections, cells: int) -> NDArray[np.float64] | None:
    items = injections.of(plant.ConnectionResistance)
    if not items:
        return None
    ohm = np.zeros(cells)
    for item in items:
        grown = min(1.0, injections.since_s(item) / item.ramp_s) if item.ramp_s else 1.0
        ohm[item.cell] += item.resistance_ohm * grown
    return ohm


def put_condition(source: Source, condition: plant.Condition, past_s: float, injections: Injections) -> None:
    """Put the pack where a condition has it after this time: evenly from where it was at its beginning."""
    way = min(1.0, past_s / condition.ramp_s) if condition.ramp_s else 1.0
    now = source.condition(condition.cell)
    goal = {
        name: getattr(condition, name)
        for name in ("soc", "temperature_degc", "ambient_degc")
        if getattr(condition, name) is not None
    }
    begun = {name: injections.hold(condition, name, now[name]) for name in goal}
    source.put(
        cell=condition.cell,
        **{name: begun[name] + way * (goal[name] - begun[name]) for name in goal},
    )


def told_by(readings: Readings, device: Device, injections: Injections) -> Readings:
    """Give the readings with what dead actuators say of themselves."""
    lying = {item.actuator for item in injections.of(plant.ActuatorDead) if not item.feedback_right}
    if not lying:
        return readings
    heater, pump, fan, chiller = (
        getattr(device, name) if name in lying else real
        for name, real in zip(ACTUATORS, readings.actuators, strict=True)
    )
    return replace(readings, actuators=(heater, pump, fan, chiller))


def switches_of(healthy: Switches, injections: Injections) -> Switches:
    """Give on-off inputs and small readings as they are now.

    Parameters
    ----------
    healthy : Switches
        As they are without injections.
    injections : Injections
        What is wrong now.
    """
    now = replace(healthy)
    now.interlock_whole &= not injections.acts(broken.InterlockOpen)
    now.emergency_stop |= injections.acts(broken.EmergencyStop)
    now.smoke |= injections.acts(broken.Smoke)
    now.gas |= injections.acts(broken.Gas)
    for item in injections.of(
        broken.Insulation, broken.ChargingPlug, broken.Ignition, broken.SupplyVoltage, broken.Pressure
    ):
        if isinstance(item, broken.Insulation):
            now.insulation_ohm = _fallen_ohm(now.insulation_ohm, item, injections)
        elif isinstance(item, broken.ChargingPlug):
            now.plugged = item.plugged
        elif isinstance(item, broken.Ignition):
            now.ignition = item.switched_on
        elif isinstance(item, broken.SupplyVoltage):
            now.supply_v = item.value_v
        else:
            way = min(1.0, injections.since_s(item) / item.ramp_s) if item.ramp_s else 1.0
            now.pressure_pa += (item.value_pa - now.pressure_pa) * way
    return now


def _fallen_ohm(healthy_ohm: float, item: broken.Insulation, injections: Injections) -> float:
    if not item.ramp_s:
        return item.resistance_ohm
    way = min(1.0, injections.since_s(item) / item.ramp_s)
    least = max(item.resistance_ohm, 1.0)
    return float(healthy_ohm * (least / healthy_ohm) ** way)
