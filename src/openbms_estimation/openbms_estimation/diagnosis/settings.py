"""What counts as healthy, and when a deviation from it is an alarm."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CELL_CLASSES", "QUICK_CLASSES", "DiagnosisSettings"]

CELL_CLASSES = (
    "internal_short",
    "connection_resistance",
    "resistance_growth",
    "capacity_loss",
    "voltage_sensor",
    "open_wire",
)
"""Faults that a single cell (or its sense wires) can have; columns of ``CellDiagnosis.probability``."""
QUICK_CLASSES = ("connection_resistance", "open_wire")
"""Those that can come from one minute to the next, and endanger at once."""


@dataclass(frozen=True)
class DiagnosisSettings:
    """Behaviour of the diagnosis.

    Spreads are standard deviations between the healthy cells of a pack; least sizes are what a change must
    exceed to be a fault at all (healthy cells drift apart a little, and no model is exact). A change is
    compared with the time before it; where there was none (``level_``) it is compared with the other cells,
    and must be larger.

    Attributes
    ----------
    block_s, evaluation_s : float
        Means are taken over this time [s]; the hypotheses are compared this often [s].
    noise_v : float
        Error of the difference between two cells that lasts [V] (model, quantisation).
    correlation_s, rest_correlation_s : float
        For so long an error is the same [s], in use and at rest: all samples in this time count as one.
    overpotential_error, slope_error : float
        Relative error of a cell's overpotential against the others, and of the slope of the OCV.
    tail_error : float
        Share of a cell's overpotential by slow diffusion, which no RC pair describes.
    soc_spread, capacity_spread, resistance_spread, joint_spread_v, leak_spread_per_h, bias_spread_v : float
        Between healthy cells: SoC; capacity and resistance, relative; connections, as the voltage at 1C [V];
        self-discharge as a part of the capacity per hour; voltage sensors [V].
    branch_v : float
        A cell is not compared while it is this far from the others by the hysteresis of its OCV [V].
    least_leak_per_h, least_joint, least_growth, least_loss, least_bias_v : float
        Least internal short (as a part of the capacity per hour), connection resistance and growth of
        resistance (relative to the cell's own resistance at 25 °C), loss of capacity, bias of a sensor.
    most_leak_per_h : float
        A larger loss is no short that this could see, but something else.
    level_joint, level_growth, level_loss, level_bias_v : float
        The same where there is no time before.
    pair_imbalance : float
        The two deviations beside an open sense wire cancel up to this share.
    least_offset_per_h, least_gain : float
        Least offset (part of the capacity per hour) and gain error of a current sensor.
    anchor_rest_s : float
        Rest after which a voltage counts as OCV [s].
    anchor_std_v, anchor_std_soc : float
        Its distance from the OCV [V], and the error of the curve.
    least_temperature_k, least_stuck : float
        Least offset of a temperature sensor [K], and share of the others' movement that it does not follow.
    temperature_noise_k : float
        How far healthy sensors move against each other [K].
    prior_log_odds : float
        Logarithm of the odds that a given place has a given fault, before anything is seen (all onsets
        together).
    string_prior_log_odds : float
        The same for the current sensor of a string: one place instead of hundreds of pairs of cell and fault,
        so that as many false alarms come of less evidence.
    alarm_probability, clear_probability : float
        An alarm needs at least this, and ends below that.
    alarm_s, slow_alarm_s, unclear_s, clear_s : float
        For this long [s]; ``slow_alarm_s`` for what can wait an hour (all but connections and wires), so that
        an error of the model under one condition is no fault; ``unclear_s`` where it is sure that there is a
        fault, but not which.
    """

    block_s: float = 10.0
    evaluation_s: float = 20.0
    noise_v: float = 0.001
    correlation_s: float = 180.0
    rest_correlation_s: float = 3600.0
    overpotential_error: float = 0.02
    slope_error: float = 0.15
    tail_error: float = 0.02
    branch_v: float = 0.0015
    soc_spread: float = 0.05
    capacity_spread: float = 0.03
    resistance_spread: float = 0.15
    joint_spread_v: float = 0.003
    leak_spread_per_h: float = 1.5e-5
    bias_spread_v: float = 0.002
    least_leak_per_h: float = 1.0e-4
    most_leak_per_h: float = 0.05
    least_joint: float = 0.02
    least_growth: float = 0.10
    least_loss: float = 0.04
    least_bias_v: float = 0.003
    level_joint: float = 0.8
    level_growth: float = 0.8
    level_loss: float = 0.12
    level_bias_v: float = 0.02
    pair_imbalance: float = 0.1
    least_offset_per_h: float = 0.0025
    least_gain: float = 0.025
    anchor_rest_s: float = 1800.0
    anchor_std_v: float = 0.005
    anchor_std_soc: float = 0.005
    least_temperature_k: float = 3.0
    least_stuck: float = 0.5
    temperature_noise_k: float = 0.7
    prior_log_odds: float = -17.0
    string_prior_log_odds: float = -13.0
    alarm_probability: float = 0.95
    clear_probability: float = 0.2
    unclear_s: float = 3 * 3600.0
    alarm_s: float = 600.0
    slow_alarm_s: float = 3600.0
    clear_s: float = 6 * 3600.0
