"""The file of a site (``site.yaml``): where its inverter and meters are, and what must not be exceeded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from openbms_core.config_file import Integer, NonNegative, Positive, StrictModel, load_config
from openbms_core.resources import find_resource

__all__ = ["Connection", "Inverter", "Meter", "SiteFile", "Unit", "load_site"]

Efficiency = Annotated[float, Field(strict=True, gt=0.5, le=1.0)]


class Unit(StrictModel):
    """A unit id on a Modbus server.

    Attributes
    ----------
    host, port : str, int
        The server.
    unit : int
        Unit id.
    base_address : int or None
        Where "SunS" stands, for a device that has it at none of the standard's addresses.
    registers_at_once : int
        For a gateway that does not give the 125 of the standard.
    """

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9._:\-]+$")]
    port: Annotated[Integer, Field(ge=1, le=65535)] = 502
    unit: Annotated[Integer, Field(ge=0, le=255)] = 1
    base_address: Annotated[Integer, Field(ge=0, le=65533)] | None = None
    registers_at_once: Annotated[Integer, Field(ge=2, le=125)] = 125


class Inverter(Unit):
    """The battery's inverter.

    Attributes
    ----------
    control : str
        ``auto``: model 704 where it is complete, else 124; ``der``: 704; ``storage``: 124; ``none``: read.
    storage_rates : str
        What InWRte and OutWRte of model 124 mean. ``window``: both ends of a window, a negative one forces
        the other direction (Fronius, SMA …); ``one_sided``: only the rate of the wanted direction is set.
    setpoint_at : str
        Side at which the inverter counts the power that it is told: ``ac`` or ``battery``.
    efficiency : float
        Of the inverter, each way; used where ``setpoint_at`` is ``ac``.
    charge_max_w, discharge_max_w : float or None
        Bounds beside those of the nameplate; needed where the device does not say its own.
    revert_after_s : float
        The inverter falls back by itself this long after the last word from here.
    follows_within_s : float
        It is said that the inverter does not follow when the pack's power has been another one for that long.
    allow_grid_charging : bool
        Write ChaGriSet (model 124) where charging is wanted and the inverter is set to solar power only.
    when_setpoint_expires : str
        ``zero``: 0 W; ``release``: the inverter's own mode.
    """

    control: Literal["auto", "der", "storage", "none"] = "auto"
    storage_rates: Literal["window", "one_sided"] = "window"
    setpoint_at: Literal["ac", "battery"] = "ac"
    efficiency: Efficiency = 0.95
    charge_max_w: NonNegative | None = None
    discharge_max_w: NonNegative | None = None
    revert_after_s: Annotated[float, Field(strict=True, ge=2, le=3600)] = 30.0
    follows_within_s: Annotated[float, Field(strict=True, ge=1, le=600)] = 10.0
    allow_grid_charging: bool = False
    when_setpoint_expires: Literal["zero", "release"] = "zero"


class Meter(Unit):
    """A meter, or an inverter of solar panels.

    Attributes
    ----------
    role : str
        ``grid``: at the connection; ``pv``: generation; ``load``: consumption.
    positive : str
        What a positive power of a *meter* means: ``import`` in the standard, some do it the other way.
    """

    role: Literal["grid", "pv", "load"]
    positive: Literal["import", "export"] = "import"


class Connection(StrictModel):
    """What the connection to the grid bears, or what is allowed there."""

    import_max_w: NonNegative | None = None
    export_max_w: NonNegative | None = None


class SiteFile(StrictModel):
    """Model of a site's file.

    Attributes
    ----------
    poll_period_s : float
        Time between two readings of power and control; nameplates are read every 30 s.
    timeout_s : float
        Longest wait for an answer.
    max_age_s : float
        Age at which a reading is unknown.
    """

    schema_version: Literal[1]
    name: Annotated[str, Field(min_length=1, max_length=60)]
    inverter: Inverter | None = None
    meters: tuple[Meter, ...] = ()
    connection: Connection = Connection()
    poll_period_s: Annotated[float, Field(strict=True, ge=0.25, le=60)] = 0.5
    timeout_s: Annotated[float, Field(strict=True, ge=0.05, le=30)] = 1.0
    max_age_s: Positive = 3.0

    @model_validator(mode="after")
    def _fits(self) -> SiteFile:
        if self.inverter is None and not self.meters:
            raise ValueError("the site has neither an inverter nor a meter: add one")
        roles = [meter.role for meter in self.meters]
        if roles.count("grid") > 1:
            second = [index for index, role in enumerate(roles) if role == "grid"][1]
            raise ValueError(
                f"meters[{second}].role is the second 'grid': a site has one. Make it 'load' or 'pv'"
            )
        for name in ("import_max_w", "export_max_w"):
            if getattr(self.connection, name) is not None and "grid" not in roles:
                raise ValueError(
                    f"connection.{name} cannot be kept without a meter at the connection: add one with "
                    "role: grid, or remove the limit"
                )
        # an inverter and the meter of the connection may share a unit id, two of one kind cannot
        generators = [unit for unit in self.units() if not isinstance(unit, Meter) or unit.role == "pv"]
        meters = [meter for meter in self.meters if meter.role != "pv"]
        for units in (generators, meters):
            places = [(unit.host, unit.port, unit.unit) for unit in units]
            for place in places:
                if places.count(place) == 1:
                    continue
                raise ValueError(
                    f"unit {place[2]} of {place[0]}:{place[1]} stands there twice: every device has a unit "
                    "id of its own (openbms site scan shows them)"
                )
        if self.max_age_s < 2.0 * self.poll_period_s:
            raise ValueError(
                f"max_age_s ({self.max_age_s:g}) is below two poll periods ({self.poll_period_s:g} each): "
                "every reading would be stale before the next one"
            )
        if self.inverter is not None and self.inverter.revert_after_s < 3.0 * self.poll_period_s:
            raise ValueError(
                f"inverter.revert_after_s ({self.inverter.revert_after_s:g}) is below three poll periods: "
                "the inverter would fall back between two renewals"
            )
        return self

    def units(self) -> tuple[Unit, ...]:
        """Give the inverter and all meters."""
        return (*(() if self.inverter is None else (self.inverter,)), *self.meters)


def load_site(reference: str, beside: Path | None = None) -> tuple[SiteFile, Path]:
    """Load a site's file.

    Parameters
    ----------
    reference : str
        Path, or ``package://openbms_drivers/devices/sunspec/site.yaml`` for the example.
    beside : Path, optional
        File that a relative path is relative to; absent: the working folder.

    Returns
    -------
    site : SiteFile
    path : Path

    Raises
    ------
    ConfigError
        The file is absent or wrong.
    """
    path = find_resource(reference, beside=beside or Path.cwd() / "site.yaml").resolve()
    return load_config(path, SiteFile), path
