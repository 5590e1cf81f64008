"""Topics as bytes: what a recorder or a live view must know to pass messages on without decoding them.

The text of a message definition and its type hash come from the installed ``share/<package>/msg``: they are
those that this build really publishes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from rclpy.qos import QoSProfile

from openbms_core.config_file import ConfigError
from openbms_core.ros.interfaces import interface_type, qos_profile
from openbms_core.topics import TOPICS, Topic, absolute_name

__all__ = ["RawTopic", "listening_qos", "raw_topics", "schema_text", "type_hash"]

_SEPARATOR = "=" * 80
_PRIMITIVES = frozenset(
    ["bool", "byte", "char", "string", "wstring", "float32", "float64"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)
_FIELD = re.compile(r"^\s*(?P<type>[A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+[A-Za-z]\w*")
_LISTENING_DEPTH = 100


@dataclass(frozen=True)
class RawTopic:
    """One topic, ready to be passed on as bytes.

    Attributes
    ----------
    row : Topic
        Its row in the topic table.
    name : str
        Full name.
    type : str
        ``package/msg/Name``.
    schema : str
        Definition as ``ros2msg``: the .msg text, then those it uses, each behind a line of ``=`` and
        ``MSG: package/Name``.
    type_hash : str
        RIHS01 hash of the type; empty where the installation has none.
    """

    row: Topic
    name: str
    type: str
    schema: str
    type_hash: str


def _definition_file(type_name: str, ending: str) -> Path:
    package, _, plain = type_name.replace("/msg/", "/").partition("/")
    try:
        share = get_package_share_directory(package)
    except PackageNotFoundError as error:
        raise ConfigError(
            f"{type_name}: the ROS package {package} is not installed. "
            "Build the workspace (make build) or install the package, and source the installation."
        ) from error
    return Path(share, "msg", f"{plain}.{ending}")


def _read_definition(type_name: str) -> str:
    path = _definition_file(type_name, "msg")
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{type_name}: its definition {path} cannot be read: {error.strerror}.") from error


def _types_used(definition: str, package: str) -> Iterator[str]:
    """Give the complex types in a definition as ``package/Name``, in order of appearance."""
    for line in definition.splitlines():
        field = _FIELD.match(line.partition("#")[0])
        if field is None or field["type"] in _PRIMITIVES:
            continue
        name = field["type"].replace("/msg/", "/")
        yield name if "/" in name else f"{package}/{name}"


@cache
def schema_text(type_name: str) -> str:
    """Give the definition of a type with all that it uses, in the ``ros2msg`` encoding.

    Parameters
    ----------
    type_name : str
        ``package/msg/Name``.

    Raises
    ------
    ConfigError
        A package or a definition is not installed.
    """
    root = type_name.replace("/msg/", "/")
    text = {root: _read_definition(type_name)}
    waiting = [root]
    while waiting:
        name = waiting.pop(0)
        for used in _types_used(text[name], name.partition("/")[0]):
            if used not in text:
                text[used] = _read_definition(used)
                waiting.append(used)
    parts = [text.pop(root).rstrip("\n")]
    parts += [f"{_SEPARATOR}\nMSG: {name}\n{body.rstrip()}" for name, body in text.items()]
    return "\n".join(parts) + "\n"


@cache
def type_hash(type_name: str) -> str:
    """Give the RIHS01 hash of a type (``package/msg/Name``); empty where the installation has none."""
    try:
        description = json.loads(_definition_file(type_name, "json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    hashes = {entry["type_name"]: entry["hash_string"] for entry in description.get("type_hashes", [])}
    return str(hashes.get(type_name, ""))


def raw_topics(
    namespace: str, packs: Sequence[str] = (), *, recorded_only: bool = False
) -> tuple[RawTopic, ...]:
    """Give the topics of the table for a pack's namespace.

    Parameters
    ----------
    namespace : str
        Namespace of the pack, such as ``/bms``.
    packs : sequence of str
        Namespaces below it, of several packs: then those of each as well. Global topics come once.
    recorded_only : bool
        Leave out what the table does not record.

    Raises
    ------
    ConfigError
        The package of a message is not installed.
    """
    found = []
    base = namespace.rstrip("/")
    for row in TOPICS:
        if recorded_only and not row.recorded:
            continue
        try:
            interface_type(row.type)
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"{row.name}: the message type {row.type} is not installed ({error}). "
                "Build the workspace (make build) and source the installation."
            ) from error
        names = [absolute_name(row, namespace), *(absolute_name(row, f"{base}/{pack}") for pack in packs)]
        found += [
            RawTopic(row, name, row.type, schema_text(row.type), type_hash(row.type))
            for name in dict.fromkeys(names)
        ]
    return tuple(found)


def listening_qos(row: Topic) -> QoSProfile:
    """Give the QoS of the table with a deeper queue, for a listener that takes bursts of all publishers.

    The depth of a subscription is its own affair: it decides neither who is heard nor what a publisher keeps.
    """
    profile = qos_profile(row)
    profile.depth = _LISTENING_DEPTH
    return profile
