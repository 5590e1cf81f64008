"""What one draw of the campaign is: where the pack stands, what breaks, and what must follow by when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fault_campaign.closed_loop import LoopSettings
from fault_campaign.system_faults import SystemFault

__all__ = ["Case", "Must"]


@dataclass(frozen=True)
class Must:
    """A row that must act, known from what is injected and not from numbers that sensors say.

    Attributes
    ----------
    rows : tuple of str
        Names or identifiers; any of them will do. Those that the fault table does not have are left out.
    onset_s : float
        From when on, counted from the moment of injection (the moment of the last request where
        ``of_request``).
    within_s : float or None
        By when after that; None: the row's fault-tolerant time.
    of_request : bool
        Counts from the request in the script.
    core_degc : float or None
        Counts from when the core of a cell is really this hot; not demanded where none ever is.
    """

    rows: tuple[str, ...]
    onset_s: float = 0.0
    within_s: float | None = None
    of_request: bool = False
    core_degc: float | None = None


@dataclass(frozen=True)
class Case:
    """One draw.

    Attributes
    ----------
    number : int
    kind, variant : str
        What is injected, and whether it is beyond a limit, below it, short …
    settings : LoopSettings
    strongest_a : float
        What the load wants at most [A]; 0: there is none.
    settle_s : float
        Time in the state before anything breaks.
    run_s : float
        Time from then on.
    injections : tuple of dict
        For the twin, with ``start_s`` from the moment of injection.
    faults : tuple of SystemFault
    before : bool
        They are there before the key is turned.
    request : str
        What is asked for ``request_at_s`` after the moment of injection (empty: nothing).
    must : tuple of Must
    """

    number: int
    kind: str
    variant: str
    settings: LoopSettings
    strongest_a: float = 0.0
    settle_s: float = 1.0
    run_s: float = 10.0
    injections: tuple[dict[str, Any], ...] = ()
    faults: tuple[SystemFault, ...] = ()
    before: bool = False
    request: str = ""
    request_at_s: float = 0.0
    must: tuple[Must, ...] = field(default=())
