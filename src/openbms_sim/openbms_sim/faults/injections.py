"""A list of injections: read from text, and which of them act now."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, get_args

import yaml
from pydantic import TypeAdapter, ValidationError

from openbms_sim.faults import bus, device, plant, sensors
from openbms_sim.faults.base import Injection, InjectionError

__all__ = ["FAULTS", "Injections", "check_source", "kinds_of", "parse_injections", "validated"]


def kinds_of(*modules: Any) -> dict[str, type[Injection]]:
    """Give the kinds of injection that modules define, by their names."""
    found: dict[str, type[Injection]] = {}
    for module in modules:
        for name in module.__all__:
            kind = getattr(module, name)
            names = get_args(kind.model_fields["fault"].annotation) if "fault" in kind.model_fields else ()
            found |= dict.fromkeys(names, kind)
    return found


FAULTS: dict[str, type[Injection]] = kinds_of(sensors, bus, device, plant)
"""Every kind of injection by its name."""

_ADAPTERS = {kind: TypeAdapter(kind) for kind in set(FAULTS.values())}
_KindT = TypeVar("_KindT", bound=Injection)


class Injections:
    """A list of injections that is in force since a moment.

    Parameters
    ----------
    items : list of Injection
        See :func:`parse_injections`.
    set_at_s : float
        Monotonic time at which they were set [s].
    before : Injections, optional
        The list that this one replaces. What stands in both goes on as it is: its times count from when it
        was set first, and a value that it holds stays.
    """

    def __init__(
        self, items: Iterable[Any] | None = None, set_at_s: float = 0.0, before: Injections | None = None
    ) -> None:
        self._items: list[Any] = []
        self._set_at_s: list[float] = []
        self._active: list[Any] = []
        self._held: dict[tuple[int, Any], float] = {}
        self._began: list[Any] = []
        self._ended: list[Any] = []
        left = list(zip(before._items, before._set_at_s, strict=True)) if before is not None else []
        for item in items or ():
            match = next((place for place, (old, _) in enumerate(left) if old == item), None)
            # an equal item stays the same object: what is kept for it is kept by identity
            kept, since_s = left.pop(match) if match is not None else (item, set_at_s)
            self._items.append(kept)
            self._set_at_s.append(since_s)
        if before is not None:
            # what is not in the list any more ends with the first tick of this one
            self._active, self._held = before._active, before._held
        self._now_s = set_at_s

    @property
    def items(self) -> list[Any]:
        """All of them, acting or not."""
        return list(self._items)

    def at(self, now_s: float) -> Injections:
        """Note which of them act at this monotonic time [s]; gives itself."""
        self._now_s = now_s
        if not self._items and not self._active:
            self._began, self._ended = [], []
            return self
        before = self._active
        self._active = [
            item
            for item, set_at_s in zip(self._items, self._set_at_s, strict=True)
            if item.active(now_s - set_at_s)
        ]
        acting, were = {id(item) for item in self._active}, {id(item) for item in before}
        self._began = [item for item in self._active if id(item) not in were]
        self._ended = [item for item in before if id(item) not in acting]
        if self._ended:
            self._held = {key: value for key, value in self._held.items() if key[0] in acting}
        return self

    def of(self, *kinds: type[_KindT]) -> list[Any]:
        """Give those of some kinds that act now, in the order of the list."""
        return [item for item in self._active if isinstance(item, kinds)] if self._active else []

    def began(self, kind: type[_KindT]) -> list[_KindT]:
        """Give those of a kind that act now and did not the time before."""
        return [item for item in self._began if isinstance(item, kind)] if self._began else []

    def ended(self, kind: type[_KindT]) -> list[_KindT]:
        """Give those of a kind that acted the time before and do not now."""
        return [item for item in self._ended if isinstance(item, kind)] if self._ended else []

    def acts(self, kind: type[Injection]) -> bool:
        """Tell whether one of this kind acts now."""
        return bool(self.of(kind))

    def since_s(self, item: Injection) -> float:
        """Give for how long an injection acts [s]."""
        for known, set_at_s in zip(self._items, self._set_at_s, strict=True):
            if known is item:
                return self._now_s - set_at_s - item.start_s
        return 0.0

    def message(self, kind: type[Injection], name: str) -> Any | None:
        """Give the injection of this kind that names a message, or None."""
        for item in self.of(kind):
            if fnmatch.fnmatchcase(name, item.message):
                return item
        return None

    def hold(self, item: Injection, key: Any, value: float) -> float:
        """Give the value that was passed when this injection began."""
        return self._held.setdefault((id(item), key), value)


def validated(entry: Any, head: str = "injection") -> Any:
    """Make one injection of a mapping.

    Parameters
    ----------
    entry : Any
        What stands in the list.
    head : str
        Where it stands, for the sentence.

    Raises
    ------
    InjectionError
        It is no injection; one sentence says which key, and what would be right.
    """
    name = entry.get("fault") if isinstance(entry, dict) else None
    near = difflib.get_close_matches(name, FAULTS, n=1) if isinstance(name, str) else []
    if near and name not in FAULTS:
        raise InjectionError(
            f"{head}: there is no injection {name!r}. Did you mean {near[0]!r}? "
            "`openbms inject --list` shows all."
        )
    if not isinstance(name, str) or name not in FAULTS:
        raise InjectionError(f"{head}: fault must be one of {', '.join(FAULTS)}, but it is {name!r}.")
    kind = FAULTS[name]
    try:
        return _ADAPTERS[kind].validate_python(entry)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or name
        known = ", ".join(kind.model_fields)
        raise InjectionError(f"{head}.{key}: {first['msg'].lower()}; {name} has the keys {known}.") from None


def parse_injections(
    text: str,
    *,
    cells: int,
    sensors: list[str],
    messages: list[str],
    modules: Sequence[int] = tuple(range(8)),
) -> list[Any]:
    """Read a list of injections from YAML or JSON text.

    Parameters
    ----------
    text : str
        The list; empty text is the empty list.
    cells : int
        Number of cells of the pack.
    sensors, messages : list of str
        Names of its temperature sensors, and of the device's messages.
    modules : sequence of int
        Its cell-monitoring units.

    Returns
    -------
    list of Injection

    Raises
    ------
    InjectionError
        The text is no such list; one sentence says which entry, which key, and what would be right.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        what = " ".join(str(error).split())
        raise InjectionError(f"injections: not valid YAML or JSON: {what}.") from None
    if data is None:
        return []
    if not isinstance(data, list):
        raise InjectionError("injections: must be a list such as [{fault: emergency_stop}].")
    items = [validated(entry, f"injections[{number}]") for number, entry in enumerate(data)]
    for number, item in enumerate(items):
        _exists(item, f"injections[{number}]", cells, sensors, messages, modules)
    return items


def _exists(
    item: Any, head: str, cells: int, sensors: list[str], messages: list[str], modules: Sequence[int]
) -> None:
    """Refuse an injection that names what the pack does not have."""
    cell = getattr(item, "cell", None)
    if cell is not None and cell >= cells:
        raise InjectionError(f"{head}.cell: {cell} does not exist, the last cell is {cells - 1}.")
    module = getattr(item, "module", None)
    if module is not None and module not in modules:
        known = ", ".join(str(number) for number in modules)
        raise InjectionError(f"{head}.module: {module} does not exist; this pack has {known}.")
    for key, names in (("sensor", sensors), ("message", messages)):
        pattern = getattr(item, key, None)
        if pattern is not None and not fnmatch.filter(names, pattern):
            raise InjectionError(
                f"{head}.{key}: nothing is called {pattern!r}; there are {', '.join(names)}."
            )


def check_source(items: Iterable[Any], source: str) -> None:
    """Refuse what needs the twin's own physics where it replays a recorded test.

    Parameters
    ----------
    items : iterable of Injection
    source : str
        ``plant`` or ``replay``.

    Raises
    ------
    InjectionError
        One of them would do nothing; one sentence says which.
    """
    for item in items:
        if item.plant_only and source != "plant":
            raise InjectionError(
                f"{item.fault} needs the twin's own physics, but this twin replays a recorded test: start it "
                "with the parameter source: plant."
            )
