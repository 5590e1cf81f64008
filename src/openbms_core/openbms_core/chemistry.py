"""What is usual for a chemistry: limit triples and protection thresholds, each with its source.

Nothing here is used in silence for a limit: a pack file without a triple is refused, and the refusal offers
the usual one. Only what has a source is listed; a chemistry or a limit that is missing has none here.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEEP_DISCHARGE", "USUAL_LIMITS", "SourcedValue", "UsualTriple", "usual_triple"]


@dataclass(frozen=True)
class SourcedValue:
    """A value and where it comes from."""

    value: float
    source: str


@dataclass(frozen=True)
class UsualTriple:
    """A limit triple and where it comes from."""

    operating: float
    recommended: float
    safety: float
    source: str

    @property
    def yaml(self) -> str:
        """As it stands in a pack file."""
        return (
            f"{{operating: {self.operating:g}, recommended: {self.recommended:g}, safety: {self.safety:g}}}"
        )


_COPPER = "Battery University BU-808a: copper shunts may form in graphite cells that dwell below 1.5 V"
DEEP_DISCHARGE: dict[str, SourcedValue] = {
    chemistry: SourcedValue(1.5, _COPPER) for chemistry in ("nmc", "nca", "lco", "lmo", "lfp")
}
"""Voltage below which a cell must not be charged again without service [V]. LTO has no copper in its anode
and no source here."""


@dataclass(frozen=True)
class _Sheet:
    """Limits of a cell's data sheet."""

    voltage_max_v: float
    voltage_min_v: float
    charge_degc: tuple[float, float]
    discharge_degc: tuple[float, float]
    source: str


_SHEETS: dict[str, _Sheet] = {
    "nmc": _Sheet(4.2, 2.5, (0.0, 50.0), (-20.0, 60.0), "LG INR18650HG2: 2.5 to 4.2 V, charge 0 to 50 degC, "
                  "discharge -20 to 75 degC at the can, of which 60 degC are taken as for larger cells"),
    "nca": _Sheet(4.2, 2.5, (0.0, 60.0), (-20.0, 60.0), "Samsung SDI INR21700-50S: 2.5 to 4.2 V, charge 0 to "
                  "60 degC, discharge -20 to 60 degC"),
    "lco": _Sheet(4.2, 2.75, (0.0, 45.0), (-20.0, 60.0), "Samsung SDI ICR18650-20, LR20010213-1: 2.75 to "
                  "4.2 V, charge 0 to 45 degC, discharge -20 to 60 degC"),
    "lfp": _Sheet(3.65, 2.5, (0.0, 60.0), (-35.0, 60.0), "Lishen LP54173207 (202 Ah), Rev 0: 2.5 to 3.65 V, "
                  "charge 0 to 60 degC, discharge -35 to 60 degC"),
}  # fmt: skip
INSIDE_V, INSIDE_LOW_V, INSIDE_K = 0.05, 0.25, 5.0
"""The sheet's limit is the recommended one (of the lower voltage: the safety one); so far apart are the
others. Samsung SDI gives 4.2 V +- 0.05 V."""


def _triples(sheet: _Sheet) -> dict[str, UsualTriple]:
    def around(limit: float, apart: float) -> UsualTriple:
        return UsualTriple(limit - apart, limit, limit + apart, sheet.source)

    low_v = sheet.voltage_min_v
    return {
        "cell_voltage_max_v": around(sheet.voltage_max_v, INSIDE_V),
        "cell_voltage_min_v": UsualTriple(
            low_v + 2.0 * INSIDE_LOW_V, low_v + INSIDE_LOW_V, low_v, sheet.source
        ),
        "charge_temperature_max_degc": around(sheet.charge_degc[1], INSIDE_K),
        "charge_temperature_min_degc": around(sheet.charge_degc[0], -INSIDE_K),
        "discharge_temperature_max_degc": around(sheet.discharge_degc[1], INSIDE_K),
        "discharge_temperature_min_degc": around(sheet.discharge_degc[0], -INSIDE_K),
    }


_FOXBMS = "foxBMS 2 v1.11, battery_cell_cfg.h: its example cell of 2.5 V, MOL / RSL / MSL"
USUAL_LIMITS: dict[str, dict[str, UsualTriple]] = {
    **{chemistry: _triples(sheet) for chemistry, sheet in _SHEETS.items()},
    "lto": {
        "cell_voltage_max_v": UsualTriple(2.72, 2.75, 2.8, _FOXBMS),
        "cell_voltage_min_v": UsualTriple(1.58, 1.55, 1.5, _FOXBMS),
        "charge_temperature_max_degc": UsualTriple(35.0, 40.0, 45.0, _FOXBMS),
        "charge_temperature_min_degc": UsualTriple(-10.0, -15.0, -20.0, _FOXBMS),
        "discharge_temperature_max_degc": UsualTriple(45.0, 50.0, 55.0, _FOXBMS),
        "discharge_temperature_min_degc": UsualTriple(-10.0, -15.0, -20.0, _FOXBMS),
    },
}
"""Usual triple of each limit by chemistry; currents depend on the cell and have none."""


def usual_triple(chemistry: str, limit: str) -> str:
    """Give a sentence that offers the usual triple of a limit; empty where none is known.

    Parameters
    ----------
    chemistry : str
        Of the pack's cell file.
    limit : str
        Its key in ``limits``.
    """
    usual = USUAL_LIMITS.get(chemistry, {}).get(limit)
    if usual is None:
        return ""
    return (
        f"Usual for {chemistry.upper()}: {limit}: {usual.yaml} ({usual.source}). "
        "Compare it with the data sheet of your cell."
    )
