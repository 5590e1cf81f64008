"""One case of the fault library: where the pack is, what is broken when, and what must happen.

A library file (``config/faults/*.yaml``) holds a list of cases; `openbms schema faults` prints what each key
means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from openbms_core.config_file import Integer, NonNegative, Number, Positive, StrictModel, Unit
from openbms_core.faults import FAULT_BY_ID, FaultRow
from openbms_sim.faults import InjectionError, validated

__all__ = [
    "Action",
    "Ask",
    "Case",
    "Expect",
    "FaultFile",
    "Given",
    "Host",
    "Message",
    "Process",
    "Record",
    "StateName",
    "Twin",
]

StateName = Literal["init", "standby", "precharge", "drive", "charge", "connected", "opening", "fault"]
LevelName = Literal["operating", "recommended", "safety"]


class Given(StrictModel):
    """Where the pack is when the fault comes."""

    state: Literal["standby", "drive", "charge", "connected"] = "drive"
    current_a: Number = -3.0
    """What the load wants; positive charges. Only where contactors are closed."""
    soc: Unit = 0.6
    temperature_degc: Number = 25.0
    """Of cells, coolant and surroundings."""
    clock: Literal["system", "own", "twin"] = "system"
    """``own``: the processes have a wall clock of their own, which can be set; ``twin``: they take ROS time
    from the twin's ``/clock``."""


class _Timed(StrictModel):
    at_s: NonNegative = 0.0
    """After the injection began."""


class Twin(_Timed):
    """Something is broken in the twin: ``fault`` and the keys of that kind (see openbms_sim)."""

    model_config = ConfigDict(extra="allow")
    fault: str
    for_s: Positive | None = None
    """For this long; absent: until the case is over."""

    @model_validator(mode="after")
    def _known(self) -> Twin:
        try:
            validated(self.keys)
        except InjectionError as error:
            raise ValueError(str(error).removeprefix("injection").lstrip(".: ")) from None
        return self

    @property
    def keys(self) -> dict[str, Any]:
        """What the twin's own injection takes, without times."""
        return {"fault": self.fault, **(self.model_extra or {})}


class Process(_Timed):
    """Something is done to a process of the system."""

    process: Literal["sim", "driver", "safety", "bms", "data", "ui"]
    do: Literal["kill", "stop", "slow"]
    """``kill`` (SIGKILL), ``stop`` (SIGSTOP until it is over), ``slow`` (stopped most of the time)."""
    for_s: Positive | None = None
    share: Annotated[Number, Field(gt=0, lt=1)] = 0.2
    """Of the time in which a slow process runs."""
    period_s: Positive = 0.1
    """One stop and go of a slow process."""


class Host(_Timed):
    """Something is wrong with the computer."""

    host: Literal["cpu_hog", "disk_full", "clock_step"]
    for_s: Positive | None = None
    processes: Annotated[Integer, Field(ge=1, le=64)] | None = None
    """Of ``cpu_hog``; absent: twice the number of cores."""
    of: Literal["safety", "data"] = "safety"
    """Whose files cannot be written any more, with ``disk_full``."""
    step_s: Number = 3600.0
    """By which the wall clock of all processes is set, with ``clock_step``."""


class Record(_Timed):
    """The file with the fault record is spoilt."""

    record: Literal["corrupt"]


class Message(_Timed):
    """Somebody publishes what they should not."""

    message: Literal["foreign_description"]
    """``foreign_description``: a pack description with another configuration hash, as from a driver that was
    started with another pack file."""


class Ask(_Timed):
    """Somebody asks the safety monitor for a state."""

    ask: Literal["standby", "drive", "charge", "connected"]


def _kind(entry: Any) -> str:
    keys = entry if isinstance(entry, Mapping) else getattr(entry, "__dict__", {})
    for name in ("process", "host", "record", "message", "ask"):
        # a twin's injection may have a key `message` of its own
        if name in keys and "fault" not in keys:
            # no tag may be a key: it would stand in the place that an error names
            return f"a_{name}"
    return "a_fault"


Action = Annotated[
    Annotated[Twin, Tag("a_fault")]
    | Annotated[Process, Tag("a_process")]
    | Annotated[Host, Tag("a_host")]
    | Annotated[Record, Tag("a_record")]
    | Annotated[Message, Tag("a_message")]
    | Annotated[Ask, Tag("a_ask")],
    Discriminator(_kind),
]


class Expect(StrictModel):
    """What must happen, and what must not."""

    faults: list[str] = Field(default_factory=list)
    """Rows of the fault table that become active, all of them; empty: none may."""
    any_of: bool = False
    """One of ``faults`` is enough."""
    level: LevelName | None = None
    """Level of those rows, for the reader; it must be the table's."""
    deadline_s: Positive | Literal["from_table"] = "from_table"
    """From the onset to the completed action: contactors open, or the warning where it only warns.
    ``from_table``: the shortest fault-tolerant time of ``faults``."""
    state: StateName | list[StateName] | None = None
    """State at the end; one of these."""
    contactors: Literal["open", "closed", "any"] = "any"
    """At the end, as they really are."""
    zero_first: bool | None = None
    """Zero current is asked for before the contactors open; absent: yes where contactors open from a state of
    use by a fault that asks for it."""
    may_also: list[str] = Field(default_factory=list)
    """Further rows of level safety that may become active; may hold ``*``. Any other is a false alarm."""
    refuses: Literal["drive", "charge", "connected"] | None = None
    """Afterwards the monitor refuses this state."""

    @model_validator(mode="after")
    def _in_table(self) -> Expect:
        for key, names in (("faults", self.faults), ("may_also", self.may_also)):
            for name in names:
                if not any(fnmatchcase(row, name) for row in FAULT_BY_ID):
                    raise ValueError(f"{key}: the fault table has no row {name!r}")
        levels = {FAULT_BY_ID[name].level.name.lower() for name in self.faults if name in FAULT_BY_ID}
        if self.level is not None and levels - {self.level}:
            raise ValueError(f"level: the table says {', '.join(sorted(levels))}, not {self.level}")
        if not self.faults and self.deadline_s != "from_table":
            raise ValueError("deadline_s: where no fault is expected there is no deadline")
        return self

    @property
    def states(self) -> tuple[str, ...]:
        """States in which it may end; empty: any."""
        return (self.state,) if isinstance(self.state, str) else tuple(self.state or ())

    def limit_s(self, rows: Mapping[str, FaultRow] | None = None) -> float:
        """Give the deadline [s]; NaN where no fault is expected.

        Parameters
        ----------
        rows : mapping of str to FaultRow, optional
            Rows with the pack's own timing, by identifier; default: those of the table.
        """
        if isinstance(self.deadline_s, float):
            return self.deadline_s
        table = {**FAULT_BY_ID, **(rows or {})}
        return min((table[name].timing.fault_tolerant_time_s for name in self.faults), default=math.nan)


class Case(StrictModel):
    """A fault, where it comes, and what must happen."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    description: str
    given: Given = Given()
    inject: Annotated[list[Action], Field(min_length=1)]
    expect: Expect = Expect()
    onset: Integer | Annotated[str, Field(pattern=r"^core_above_-?\d+(\.\d+)?_degc$")] = 0
    """From when the deadline counts: the number of an action (from 0), or when the core of a cell is really
    this hot."""
    watch_s: Positive = 1.0
    """For this long after everything has happened it is watched for what must not."""
    vary: dict[str, tuple[Number, Number]] = Field(default_factory=dict)
    """Ranges for a random draw, by key: those of ``given``, and of every action that has the key."""

    @model_validator(mode="after")
    def _fits(self) -> Case:
        if isinstance(self.onset, int) and not 0 <= self.onset < len(self.inject):
            raise ValueError(f"onset: there are {len(self.inject)} actions, from 0")
        for key, (low, high) in self.vary.items():
            if low > high:
                raise ValueError(f"vary.{key}: {low:g} is above {high:g}")
            if not self._has(key):
                raise ValueError(f"vary.{key}: neither given nor an action has this key")
        return self

    def _has(self, key: str) -> bool:
        return key in Given.model_fields or any(key in action_keys(action) for action in self.inject)

    def with_values(self, values: Mapping[str, Any]) -> Case:
        """Give this case with other values of its keys.

        Parameters
        ----------
        values : mapping
            By key; those of ``given``, and of every action that has the key.

        Raises
        ------
        ValueError
            A key or a value does not fit (pydantic's ValidationError is one).
        """
        data = self.model_dump(exclude_unset=True)
        for key, value in values.items():
            if not self._has(key):
                known = sorted(
                    set(Given.model_fields).union(*(action_keys(action) for action in self.inject))
                )
                raise ValueError(f"{self.name} has no key {key!r}; it has {', '.join(known)}")
            if key in Given.model_fields:
                data.setdefault("given", {})[key] = value
            for action, known_action in zip(data["inject"], self.inject, strict=True):
                if key in action_keys(known_action):
                    action[key] = value
        return Case.model_validate(data)

    @property
    def live_only(self) -> bool:
        """It needs more than the twin: processes, the computer, files, topics, or the hub."""
        hub = ("link_dropped", "hub_down", "clock_step")
        return any(not isinstance(a, Twin | Ask) or getattr(a, "fault", "") in hub for a in self.inject)

    @property
    def quiet(self) -> bool:
        """Nothing is expected to happen."""
        return not self.expect.faults


def action_keys(action: Any) -> set[str]:
    """Give the keys that an action has or may have."""
    keys = set(type(action).model_fields) - {"at_s"}
    if isinstance(action, Twin):
        keys |= set(type(validated(action.keys)).model_fields) - {"start_s", "duration_s"}
    return keys - {"fault", "process", "do", "host", "record", "message", "ask"} | (
        {"message"} if isinstance(action, Twin) and "message" in action.keys else set()
    )


class FaultFile(StrictModel):
    """A file of the fault library."""

    schema_version: Literal[1]
    description: str
    cases: Annotated[list[Case], Field(min_length=1)]
