"""Random operating points and times of one draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from fault_campaign.cases import Case, Must
from fault_campaign.closed_loop import LoopSettings, demo_pack
from fault_campaign.system_faults import SystemFault
from openbms_core.pack import PackFile
from openbms_core.types import State
from openbms_sim.plant.cell import NMC_18650

__all__ = ["AMBIENT_DEGC", "CLOSED", "SENSORS", "USES", "Dice", "Point"]

CLOSED = ("drive", "charge", "connected")
"""States with closed contactors."""
USES = (*CLOSED, "standby")
AMBIENT_DEGC = (2.0, 38.0)
SENSORS = 32
"""Temperature sensors at cells of the twin's device."""
_TARGETS = {"drive": State.DRIVE, "charge": State.CHARGE, "connected": State.CONNECTED}
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Point:
    """Where the pack stands when something breaks.

    Attributes
    ----------
    use : str
        drive, charge, connected, standby, or closing and opening: on the way from and to STANDBY.
    soc, ambient_degc, strongest_a : float
    """

    use: str
    soc: float
    ambient_degc: float
    strongest_a: float


class Dice:
    """All random choices of one draw; the same seed and number give the same draw.

    Parameters
    ----------
    seed, number : int
    """

    def __init__(self, seed: int, number: int) -> None:
        self.rng = np.random.default_rng([seed, number])
        self.number = number
        self.pack: PackFile = demo_pack()[0].file
        self.limits = self.pack.limits

    # ---- numbers

    def between(self, low: float, high: float) -> float:
        """Give a number between two, evenly, to a tenth of a thousandth."""
        return round(float(self.rng.uniform(low, high)), 4)

    def log_between(self, low: float, high: float) -> float:
        """Give a number between two, evenly on a logarithmic scale."""
        return float(f"{np.exp(self.rng.uniform(np.log(low), np.log(high))):.4g}")

    def one_of(self, items: Sequence[_Item]) -> _Item:
        """Give one of some things."""
        return items[int(self.rng.integers(len(items)))]

    def whole(self, below: int) -> int:
        """Give a whole number from 0 on."""
        return int(self.rng.integers(below))

    def chance(self, probability: float) -> bool:
        """Tell whether it happens."""
        return bool(self.rng.random() < probability)

    def sign(self) -> float:
        """Give 1 or -1."""
        return 1.0 if self.chance(0.5) else -1.0

    # ---- where the pack is

    def point(
        self,
        uses: Sequence[str] = USES,
        soc: tuple[float, float] = (0.12, 0.92),
        ambient_degc: tuple[float, float] = AMBIENT_DEGC,
        strongest_a: tuple[float, float] = (2.0, 18.0),
    ) -> Point:
        """Choose an operating point."""
        use = self.one_of(uses)
        high = min(soc[1], 0.85) if use == "charge" else soc[1]
        return Point(
            use,
            self.between(min(soc[0], high), high),
            self.between(*ambient_degc),
            self.between(*strongest_a) if use in ("drive", "connected", "opening") else 0.0,
        )

    def ocv_v(self, soc: float) -> float:
        """Give the open-circuit voltage of a cell [V]."""
        return float(np.interp(soc, NMC_18650.ocv_soc, NMC_18650.ocv_v))

    def start_s(self) -> float:
        """Give when a fault begins after the moment of injection: anywhere in a scan."""
        return self.between(0.0, 0.12)

    # ---- the case

    def case(
        self,
        kind: str,
        variant: str,
        point: Point,
        injections: Sequence[dict[str, Any]] = (),
        faults: Sequence[SystemFault] = (),
        *,
        run_s: float = 8.0,
        must: Sequence[Must] = (),
        before: bool = False,
        request: str = "",
        request_at_s: float = 0.0,
        settle_s: float | None = None,
    ) -> Case:
        """Put a draw together."""
        extreme = point.soc < 0.25 or point.soc > 0.85 or point.ambient_degc < 5.0
        target = _TARGETS.get(point.use, State.STANDBY)
        if point.use == "closing":
            request, request_at_s = "drive", 0.0
        elif point.use == "opening":
            target, request, request_at_s = State.DRIVE, "standby", 0.0
        return Case(
            number=self.number,
            kind=kind,
            variant=variant,
            settings=LoopSettings(
                soc=point.soc,
                ambient_degc=point.ambient_degc,
                target=target,
                seed=int(self.rng.integers(1, 2**31)),
                estimator=extreme or self.chance(0.15),
            ),
            strongest_a=point.strongest_a,
            settle_s=self.between(0.5, 2.5) if settle_s is None else settle_s,
            run_s=run_s,
            injections=tuple(injections),
            faults=tuple(faults),
            before=before,
            request=request,
            request_at_s=request_at_s,
            must=tuple(must),
        )
