"""Find configuration files and files inside installed packages.

The shipped configuration lies in ``share/openbms_bringup/config`` of whichever prefix of
``AMENT_PREFIX_PATH`` holds it;
in a bare checkout it is the folder ``config`` at its top.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
from pathlib import Path

from openbms_core.config_file import ConfigError

__all__ = ["config_folder", "find_config", "find_resource"]

_PACKAGE_SCHEME = "package://"


def config_folder() -> Path:
    """Give the folder of the shipped configuration.

    Raises
    ------
    ConfigError
        openbms_bringup is neither installed nor beside this package.
    """
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        folder = Path(prefix, "share", "openbms_bringup", "config")
        if prefix and folder.is_dir():
            return folder
    for parent in Path(__file__).resolve().parents:
        folder = parent / "openbms_bringup" / "config"
        if folder.is_dir():
            return folder
    raise ConfigError(
        "The shipped configuration was not found. Build the workspace (make build) and source install/."
    )


def find_config(kind: str, name: str | Path, beside: Path | None = None) -> Path:
    """Find a configuration file by path or by shipped name.

    Parameters
    ----------
    kind : str
        ``packs``, ``cells`` or ``systems``.
    name : str or Path
        A path (absolute, relative to ``beside`` or to the working folder), or a name without ending.
    beside : Path, optional
        The file that names it.

    Returns
    -------
    Path

    Raises
    ------
    ConfigError
        No such file; the message lists the shipped names.
    """
    candidate = Path(name).expanduser()
    looks_like_path = candidate.suffix in {".yaml", ".yml"} or len(candidate.parts) > 1
    bases = [beside.parent] if beside is not None and not candidate.is_absolute() else []
    if looks_like_path:
        for path in [*(base / candidate for base in bases), candidate]:
            if path.is_file():
                return path
    else:
        for path in [
            *(base / f"{candidate}.yaml" for base in bases),
            config_folder() / kind / f"{candidate}.yaml",
        ]:
            if path.is_file():
                return path
    shipped = sorted(path.stem for path in (config_folder() / kind).glob("*.yaml"))
    near = difflib.get_close_matches(candidate.name.removesuffix(candidate.suffix), shipped, n=1, cutoff=0.6)
    problem = (
        "this is a folder"
        if any((base / candidate).is_dir() for base in (*bases, Path()))
        else "no such file"
    )
    raise ConfigError(
        f"{name}: {problem}. {f'Did you mean {near[0]!r}? ' if near else ''}Give the path of a .yaml file "
        f"or one of the shipped {kind}: {', '.join(shipped)}."
    )


def find_resource(reference: str, beside: Path) -> Path:
    """Find a file that a configuration file names.

    Parameters
    ----------
    reference : str
        ``package://<python package>/<path>`` or a path relative to ``beside``.
    beside : Path
        The file that names it.

    Returns
    -------
    Path

    Raises
    ------
    ConfigError
        The package or the file is absent.
    """
    if reference.startswith(_PACKAGE_SCHEME):
        package, _, inside = reference.removeprefix(_PACKAGE_SCHEME).partition("/")
        spec = importlib.util.find_spec(package) if package.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(
                f"{reference}: the Python package '{package}' is not installed. Install it, or give a path "
                f"relative to {beside.name}."
            )
        path = Path(next(iter(spec.submodule_search_locations)), inside)
    else:
        path = beside.parent / Path(reference).expanduser()
    if path.is_dir():
        raise ConfigError(f"{reference}: this is a folder ({path}). Give the path of a file.")
    if not path.is_file():
        near = sorted(other.name for other in path.parent.glob(f"*{path.suffix}") if other.is_file())
        raise ConfigError(
            f"{reference}: no such file ({path}). "
            + (f"That folder has: {', '.join(near[:12])}." if near else "Correct the path.")
        )
    return path
