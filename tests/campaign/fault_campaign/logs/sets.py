"""The table of recorded sets: where they lie, what they measure, and the limits with their source.

Limits are those of the maker's data sheet, so a laboratory test or a driver that goes beyond them does trip a
row, and rightly: the numbers of the recording say so. They are the *operating* and *recommended* limits; the
*safety* limit lies beyond by what the maker allows as tolerance of the charge voltage (50 mV), which is also
left below. Where no sheet of the cell is public, the source says what stands in its place.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SETS", "Limits", "RecordedSet", "data_folder"]

_BESIDE = Path(__file__).resolve().parents[5] / "shared" / "data"
_TOLERANCE_V = 0.05


@dataclass(frozen=True)
class Limits:
    """Limits of one cell, or of a string: volts of a cell, amperes of the string, degrees Celsius."""

    highest_v: float
    lowest_v: float
    charge_a: float
    discharge_a: float
    charge_degc: tuple[float, float]
    discharge_degc: tuple[float, float]
    source: str

    @property
    def triples(self) -> dict[str, dict[str, float]]:
        """Give them as ``limits`` of a pack file."""

        def triple(value: float, beyond: float = 0.0) -> dict[str, float]:
            return {"operating": value, "recommended": value, "safety": value + beyond}

        return {
            "cell_voltage_max_v": triple(self.highest_v, _TOLERANCE_V),
            "cell_voltage_min_v": triple(self.lowest_v, -_TOLERANCE_V),
            "charge_current_max_a": triple(self.charge_a),
            "discharge_current_max_a": triple(self.discharge_a),
            "charge_temperature_max_degc": triple(self.charge_degc[1]),
            "charge_temperature_min_degc": triple(self.charge_degc[0]),
            "discharge_temperature_max_degc": triple(self.discharge_degc[1]),
            "discharge_temperature_min_degc": triple(self.discharge_degc[0]),
        }


@dataclass(frozen=True)
class RecordedSet:
    """One set of recordings.

    Attributes
    ----------
    name : str
    pattern : str
        Files, below the folder of the data.
    kind : str
        How they are read: cell, leaf, i3 or can.
    cells, sensors : int
        In series, and temperature sensors.
    chemistry : str
    capacity_ah : float
    limits : Limits
    """

    name: str
    pattern: str
    kind: str
    cells: int
    sensors: int
    chemistry: str
    capacity_ah: float
    limits: Limits

    def files(self) -> list[Path]:
        """Give the files that are here."""
        return sorted(data_folder().glob(self.pattern))


def data_folder() -> Path:
    """Give the folder of the recordings, which are not in the project (OPENBMS_REFERENCE_DATA names
    another).
    """
    return Path(os.environ.get("OPENBMS_REFERENCE_DATA", _BESIDE))


SETS: tuple[RecordedSet, ...] = (
    RecordedSet(
        "LG 18650HG2, laboratory",
        "soc/lg_hg2/*.parquet",
        "cell",
        1,
        1,
        "nmc",
        2.78,
        Limits(4.2, 2.5, 4.0, 20.0, (0.0, 50.0), (-20.0, 75.0), "product specification INR18650HG2, LG Chem"),
    ),
    RecordedSet(
        "Panasonic NCR18650PF, laboratory",
        "soc/panasonic_18650pf/*.parquet",
        "cell",
        1,
        1,
        "nca",
        2.9,
        Limits(
            4.2,
            2.5,
            2.9,
            10.0,
            (0.0, 45.0),
            (-20.0, 60.0),
            "data sheet NCR18650PF, Panasonic; charging at 1 C as its tests did",
        ),
    ),
    RecordedSet(
        "A123 ANR26650M1, laboratory",
        "soc/a123_26650_lfp/*.parquet",
        "cell",
        1,
        1,
        "lfp",
        2.05,
        Limits(3.6, 2.0, 10.0, 70.0, (-30.0, 60.0), (-30.0, 60.0), "data sheet ANR26650M1A, A123 Systems"),
    ),
    RecordedSet(
        "Nissan Leaf 24 kWh, road",
        "pack/leaf24_2013_96s/*.parquet",
        "leaf",
        96,
        3,
        "nmc",
        55.0,
        Limits(
            4.2,
            2.5,
            140.0,
            290.0,
            (-20.0, 55.0),
            (-25.0, 60.0),
            "no sheet of the cell is public: 4.2 V; 80 kW motor, 6 kW auxiliaries at 300 V; 50 kW charger",
        ),
    ),
    RecordedSet(
        "BMW i3 60 Ah, road",
        "pack/bmw_i3_60ah/*.parquet",
        "i3",
        96,
        1,
        "nmc",
        60.0,
        Limits(
            4.12,
            2.7,
            180.0,
            420.0,
            (-20.0, 55.0),
            (-25.0, 60.0),
            "cell BEV4 60 Ah as foxBMS lists it: 4.12 V, 2.7 V, 7 C; 50 kW regeneration",
        ),
    ),
    RecordedSet(
        "Nissan Leaf 62 kWh and e-NV200, CAN",
        "can/*.candump.log.gz",
        "can",
        96,
        0,
        "nmc",
        176.0,
        Limits(
            4.2,
            2.5,
            260.0,
            480.0,
            (-20.0, 55.0),
            (-25.0, 60.0),
            "no sheet of the cell is public: 160 kW motor at 350 V, 100 kW charger",
        ),
    ),
)
"""Every set that is there."""
