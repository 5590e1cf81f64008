"""Load a YAML file into a pydantic model, with errors that name file, line, key, value and cure.

Every configuration file of OpenBMS (pack, cell, system) goes through :func:`load_config`, so that a wrong key
is reported the same way everywhere::

    config/packs/my_pack.yaml:14: topology.cells_in_serie: unknown key (value 96).
    Did you mean 'cells_in_series'?
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError

__all__ = [
    "ConfigError",
    "Integer",
    "NonNegative",
    "Number",
    "Positive",
    "StrictModel",
    "Unit",
    "load_config",
    "read_yaml",
]

Number = Annotated[float, Strict()]
"""A finite number; text that looks like a number is refused."""
Integer = Annotated[int, Strict()]
"""A whole number; ``true`` and text are refused."""
Positive = Annotated[float, Strict(), Field(gt=0)]
"""A finite number above zero."""
NonNegative = Annotated[float, Strict(), Field(ge=0)]
"""A finite number, zero or above."""
Unit = Annotated[float, Strict(), Field(ge=0, le=1)]
"""A finite number from 0 to 1."""

Location = tuple[Hashable, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)


class StrictModel(BaseModel):
    """Base of every configuration model: unknown keys refused, immutable, no NaN or infinity."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True, populate_by_name=False
    )


class ConfigError(ValueError):
    """A configuration file cannot be used; the message names file, line, key, value and cure.

    Attributes
    ----------
    problems : tuple[str, ...]
        One line per problem found in the file; the message joins them.
    """

    def __init__(self, problems: list[str] | str) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads ``1e-3`` as a number (YAML 1.1 takes it as text)."""


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same in C where PyYAML has it: a pack file is read by every node and every test."""


for _kind in (_Loader, _FastLoader):
    _kind.yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:float"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(
            r"""^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
            |[-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
            |\.[0-9_]+(?:[eE][-+]?[0-9]+)?
            |[-+]?\.(?:inf|Inf|INF)
            |\.(?:nan|NaN|NAN))$""",
            re.VERBOSE,
        ),
        list("-+0123456789."),
    )


def _parse(text: str, path: Path, kind: Any) -> tuple[Any, dict[Location, int]]:
    """Give data and lines of a text."""
    lines: dict[Location, int] = {}
    loader = kind(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        _lines(node, path, (), lines)  # before the data: that resolves merged keys within the nodes
        return loader.construct_document(node), lines
    finally:
        loader.dispose()


def _lines(node: yaml.Node, path: Path, at: Location, found: dict[Location, int]) -> None:
    """Note the line (from 1) of every value below ``node``; refuse a key that stands twice."""
    found.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                raise ConfigError(
                    f"{path}:{line}: {_dotted((*at, name))}: the key stands twice "
                    f"(first in line {seen[name]}). Remove one of them."
                )
            seen[name] = line
            below = (*at, name)
            found[below] = line
            _lines(value, path, below, found)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _lines(value, path, (*at, index), found)


def _dotted(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text or "the file"


def read_yaml(path: Path) -> tuple[Any, dict[Location, int]]:
    """Read one YAML document.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    data : Any
        What the file holds (plain Python values).
    lines : dict
        Line number (from 1) of each value, by its location in ``data``.

    Raises
    ------
    ConfigError
        The file is absent, unreadable, not UTF-8, not YAML, or names a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        folder = path.parent
        near = sorted(p.name for p in folder.glob(f"*{path.suffix}")) if folder.is_dir() else []
        cure = f"That folder has: {', '.join(near)}." if near else f"The folder {folder} has no such file."
        raise ConfigError(f"{path}: no such file. {cure}") from None
    except IsADirectoryError:
        near = sorted(str(p) for p in path.glob("*.yaml"))
        cure = f"Name a file in it, such as {near[0]}." if near else "Name a .yaml file."
        raise ConfigError(f"{path}: this is a folder. {cure}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({error}). It must be a readable UTF-8 text file."
        ) from error
    try:
        return _parse(text, path, _FastLoader)
    except yaml.YAMLError:
        pass  # the other one says better what is wrong
    try:
        return _parse(text, path, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(
            f"{where}: not valid YAML: {what}. Check indentation, colons and brackets."
        ) from error


def _known_keys(model: type[BaseModel], location: Location, data: Any) -> list[str]:
    """Give the keys that the part of ``model`` at ``location`` knows (empty where it cannot be told)."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})

    def resolve(part: dict[str, Any]) -> list[dict[str, Any]]:
        if "$ref" in part:
            return resolve(definitions[part["$ref"].rsplit("/", 1)[1]])
        options = part.get("anyOf") or part.get("oneOf") or part.get("allOf")
        return [leaf for option in options for leaf in resolve(option)] if options else [part]

    parts = resolve(schema)
    for step in location:
        found: list[dict[str, Any]] = []
        for part in parts:
            if isinstance(step, int) and isinstance(part.get("items"), dict):
                found += resolve(part["items"])
            elif isinstance(step, str) and step in part.get("properties", {}):
                found += resolve(part["properties"][step])
            elif isinstance(step, str) and isinstance(part.get("additionalProperties"), dict):
                found += resolve(part["additionalProperties"])
        parts = found
    return sorted({key for part in parts for key in part.get("properties", {})})


_LEADING_KEY = re.compile(r"([a-z_]\w*(?:\[\d+\]|\.\w+)*)(?::? )")
"""The key with which a validator of a whole mapping begins its sentence: ``device.signals[3] fills …``."""


def _named_in(text: str, where: Location, lines: dict[Location, int]) -> Location:
    """Give the location that the sentence of a validator names, where the file has it."""
    found = _LEADING_KEY.match(text)
    steps: Location = ()
    if found is not None:
        steps = tuple(
            int(step) if step.isdigit() else step for step in re.findall(r"[A-Za-z0-9_]+", found[1])
        )
    return next((where + steps[:n] for n in range(len(steps), 0, -1) if where + steps[:n] in lines), where)


def _describe(
    error: Any,
    model: type[BaseModel],
    data: Any,
    lines: dict[Location, int],
    path: Path,
    offer: Callable[[Location], str],
) -> str:
    # pydantic adds the name of a union's member to the location: keep only the steps that the file has
    location: list[Hashable] = []
    here = data
    for step in error["loc"]:
        if (isinstance(here, dict) and step in here) or (
            isinstance(here, list) and isinstance(step, int) and step < len(here)
        ):
            here = here[step]
        elif error["type"] == "missing" and step == error["loc"][-1]:
            pass
        else:
            continue
        location.append(step)
    where = tuple(location)
    known_line = next((lines[where[:n]] for n in range(len(where), -1, -1) if where[:n] in lines), 1)
    head = f"{path}:{known_line}: {_dotted(where)}"
    value = error.get("input")
    shown = "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else repr(value)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    if error["type"] == "extra_forbidden":
        keys = _known_keys(model, where[:-1], data)
        near = difflib.get_close_matches(str(where[-1]), keys, n=1, cutoff=0.6)
        cure = f"Did you mean '{near[0]}'?" if near else f"Known keys here: {', '.join(keys)}."
        return f"{head}: unknown key (value {shown}). {cure}"
    if error["type"] == "missing":
        cure = offer(where) or "Add it (`openbms schema` prints what it means)."
        return f"{head}: this key is missing. {cure}"
    text = error["msg"].removeprefix("Value error, ")
    if isinstance(value, float) and not math.isfinite(value):
        text = "must be a finite number"
    end = "" if text.endswith(".") else "."
    if error["type"] == "value_error" and isinstance(value, dict):
        # several values of a mapping do not fit together: name the one that the sentence is about
        inside = _named_in(text, where, lines)
        return f"{path}:{lines.get(inside, known_line)}: {_dotted(where) + ': ' if where else ''}{text}{end}"
    return f"{head}: value {shown} is not right: {text[:1].lower()}{text[1:]}{end}"


def _without_echoes(errors: list[Any]) -> list[Any]:
    """Leave out that a key is missing where a misspelt one beside it is reported."""
    unknown: dict[Location, list[str]] = {}
    for error in errors:
        if error["type"] == "extra_forbidden":
            unknown.setdefault(error["loc"][:-1], []).append(str(error["loc"][-1]))

    def is_echo(error: Any) -> bool:
        beside = unknown.get(error["loc"][:-1], [])
        return error["type"] == "missing" and bool(
            difflib.get_close_matches(str(error["loc"][-1]), beside, n=1, cutoff=0.6)
        )

    return [error for error in errors if not is_echo(error)]


def _other_kind(errors: list[Any], model: type[BaseModel], data: dict[str, Any], path: Path) -> str:
    """Say that a file is of another kind, where most of its keys are unknown; empty where they are not."""
    unknown = [
        str(error["loc"][0])
        for error in errors
        if len(error["loc"]) == 1 and error["type"] == "extra_forbidden"
    ]
    if len(unknown) < 3 or 2 * len(unknown) <= len(data):
        return ""
    kind = model.__name__.removesuffix("File").lower()
    known = ", ".join(_known_keys(model, (), data)[:6])
    return (
        f"{path}:1: this is not a {kind} file: it has the keys {', '.join(unknown[:6])}; a {kind} file has "
        f"{known} and more (`openbms schema {kind}` prints all). Name another file."
    )


def load_config(
    path: str | Path,
    model: type[ModelT],
    offer: Callable[[Location], str] = lambda location: "",
    complete: Callable[[Any], Any] = lambda data: data,
) -> ModelT:
    """Load one YAML file into ``model``.

    Parameters
    ----------
    path : str or Path
        The YAML file.
    model : type of pydantic model
        What the file must hold.
    offer : callable, optional
        Gives a sentence that cures a missing key at a location, or nothing.
    complete : callable, optional
        Puts stand-ins into what the file holds, for a look at an unfinished file.

    Returns
    -------
    ModelT
        The validated, immutable model.

    Raises
    ------
    ConfigError
        With one line per problem: file, line, key, value and what would be right.
    """
    path = Path(path)
    data, lines = read_yaml(path)
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: the file must hold 'key: value' lines, not {type(data).__name__}.")
    try:
        data = complete(data)
        return model.model_validate(data, context={"folder": path.resolve().parent})
    except ValidationError as error:
        errors = error.errors()
        other = _other_kind(errors, model, data, path)
        if other:
            raise ConfigError(other) from error
        errors = _without_echoes(errors)
        problems = [_describe(item, model, data, lines, path, offer) for item in errors]
        raise ConfigError(list(dict.fromkeys(problems))) from error
