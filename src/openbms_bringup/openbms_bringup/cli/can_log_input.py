"""Logs as evidence, for `openbms can map` and `openbms can check`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openbms_drivers.mapping.evidence import LogEvidence

__all__ = ["read_evidence", "refuse_wrong_bus"]


def read_evidence(
    log: Path, channel: str | None, messages: Sequence[Any], dbc: Path
) -> tuple[LogEvidence, list[str]]:
    """Read a log against a DBC.

    Parameters
    ----------
    log : Path
        The log.
    channel : str, optional
        Bus of the log.
    messages : sequence
        Messages of the DBC.
    dbc : Path
        The DBC, for sentences.

    Returns
    -------
    evidence : LogEvidence
    notes : list of str
        What is odd about the log.

    Raises
    ------
    ConfigError
        The log cannot be read, or none of its frames is in the DBC.
    """
    from openbms_bringup.cli.can_replay import counted
    from openbms_drivers.log.can_log import CanLog
    from openbms_drivers.mapping.evidence import LogEvidence

    evidence = LogEvidence(messages)
    source = CanLog(log, channel, evidence.knows)
    evidence.run(counted(source, log.name))
    refuse_wrong_bus(evidence, log, source.channel, dbc, messages)
    return evidence, source.told()


def refuse_wrong_bus(
    evidence: LogEvidence, log: Path, channel: str, dbc: Path, messages: Sequence[Any]
) -> None:
    """Refuse a log that has nothing of the DBC.

    Raises
    ------
    ConfigError
        With the identifiers of both.
    """
    from openbms_core.config_file import ConfigError
    from openbms_drivers.mapping.evidence import key_text, near_identifier

    if evidence.known:
        return
    shown = ", ".join(key_text(key) for key, _ in evidence.foreign.most_common(4))
    wanted = ", ".join(f"{message.name} {message.frame_id:#x}" for message in messages[:3])
    near = next((text for key in evidence.foreign if (text := near_identifier(key, messages))), "")
    raise ConfigError(
        f"{log}: none of its {evidence.frames} frames"
        + (f" on bus '{channel}'" if channel else "")
        + f" ({len(evidence.foreign)} identifiers, such as {shown}) is a message of {dbc.name} (such as "
        f"{wanted}): wrong bus "
        + (
            f"or wrong DBC; {near}."
            if near
            else "of the vehicle, wrong log or wrong DBC. Name the log of the battery's bus."
        )
    )
