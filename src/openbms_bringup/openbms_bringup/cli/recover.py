"""`openbms recover`: complete a recording that was cut off."""

from __future__ import annotations

from pathlib import Path

from openbms_core.config_file import ConfigError
from openbms_recorder.recovery import BagInUseError, recover, unfinished_bags

__all__ = ["recover_bag"]


def recover_bag(path: Path) -> str:
    """Complete one bag, or every unfinished bag in a folder; give what was done, for people.

    Raises
    ------
    ConfigError
        There is no bag, it is being written, or the disk refuses.
    """
    if path.is_file():
        raise ConfigError(f"{path}: this is a file. Name the folder of the bag: {path.resolve().parent}.")
    if not path.is_dir():
        raise ConfigError(f"{path}: no such folder. Name the folder of a bag, or a folder that holds bags.")
    is_bag = (path / "metadata.yaml").exists() or any(path.glob("*.mcap"))
    bags = [path] if is_bag else unfinished_bags(path)
    lines = []
    for bag in bags:
        try:
            report = recover(bag)
        except (BagInUseError, FileNotFoundError, OSError) as error:
            said = str(error)
            raise ConfigError(said if said.startswith(str(bag)) else f"{bag}: {said}") from error
        done = f"repaired {', '.join(report.repaired)}" if report.repaired else "was whole"
        lines.append(f"{bag}: {done}; {report.messages} messages, {report.bytes_lost} bytes left out")
    return "\n".join(lines) or f"{path}: no unfinished bag."
