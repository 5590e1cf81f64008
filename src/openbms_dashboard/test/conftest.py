"""The Foxglove client and what a test waits for."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_spec = importlib.util.spec_from_file_location(
    "foxglove_client", Path(__file__).with_name("foxglove_client.py")
)
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)


def _until(condition: Callable[[], bool], *clients: Any, spin: Callable[[], None] | None = None) -> None:
    """Take what the clients receive until the condition holds."""
    end = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        for client in clients:
            client.step(0.01)
        if spin is not None:
            spin()


@pytest.fixture
def until() -> Callable[..., None]:
    return _until


@pytest.fixture
def connect() -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def build(port: int, **options: Any) -> Any:
        client = _module.FoxgloveClient(port, **options)
        made.append(client)
        return client

    yield build
    for client in made:
        client.close()
