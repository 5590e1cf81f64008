"""One system per scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")


@pytest.fixture
def new_system(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Make systems with own parameters; they end with the scenario."""
    from bms_system import BmsSystem

    made: list[BmsSystem] = []

    def make(**parameters: dict[str, Any]) -> BmsSystem:
        made.append(BmsSystem(tmp_path / f"system_{len(made)}", parameters))
        return made[-1]

    yield make
    for system in made:
        system.close()


@pytest.fixture
def system(new_system: Callable[..., Any]) -> Any:
    """Give a system with the plant at 60 % and nothing started."""
    return new_system()
