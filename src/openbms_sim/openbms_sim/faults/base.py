"""What every injection has, and the names that several of them use."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from openbms_core.config_file import Integer, NonNegative, Number, Positive, StrictModel

__all__ = ["Cell", "Contactor", "Injection", "InjectionError", "Module", "Probability"]

Contactor = Literal["positive", "negative", "precharge"]
Cell = Annotated[Integer, Field(ge=0)]
Module = Annotated[Integer, Field(ge=0, le=7)]
Probability = Annotated[Number, Field(gt=0, le=1)]


class InjectionError(ValueError):
    """The list of injections cannot be used; one sentence says why."""


class Injection(StrictModel):
    """What every injection has."""

    plant_only: ClassVar[bool] = False
    """It acts on the twin's own physics: a recorded test does not feel it."""

    start_s: NonNegative = 0.0
    """From this time after the list was set."""
    duration_s: Positive | None = None
    """For this long; absent: until the list is replaced."""

    def active(self, since_set_s: float) -> bool:
        """Tell whether it acts this long after the list was set."""
        past = since_set_s - self.start_s
        return past >= 0.0 and (self.duration_s is None or past < self.duration_s)
