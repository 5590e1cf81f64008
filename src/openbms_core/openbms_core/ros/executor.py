"""Run nodes: one executor helper for every process, with a clean end on SIGINT and SIGTERM.

rclpy's EventsExecutor costs a fifth of the SingleThreadedExecutor, but its infinite spin runs no callback:
this loop
uses finite spins only. Where rclpy is older than 7.1.4 (no usable EventsExecutor) the SingleThreadedExecutor
serves.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from openbms_core.config_file import ConfigError
from openbms_core.ros.clocks import elapsed_s
from openbms_core.ros.real_time import apply

if TYPE_CHECKING:
    from openbms_core.ros.node_base import BmsNode

__all__ = ["EXIT_CONFIGURATION", "EXIT_FAULT", "make_executor", "run_nodes"]

EXIT_FAULT = 1
"""Exit code when a callback of a fail-safe process raised."""
EXIT_CONFIGURATION = 2
"""Exit code when a node refuses its configuration."""

_SLICE_S = 0.1
_FIRST_GOOD_EVENTS_EXECUTOR = (7, 1, 4)


def _rclpy_version() -> tuple[int, ...]:
    for name in ("rclpy", "ros-rclpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError, ValueError):
            return tuple(int(part) for part in importlib.metadata.version(name).split(".")[:3])
    return (0,)


def make_executor() -> Any:
    """Give the executor that suits the installed rclpy."""
    if _rclpy_version() >= _FIRST_GOOD_EVENTS_EXECUTOR:
        with contextlib.suppress(ImportError):
            from rclpy.experimental import EventsExecutor  # absent in older rclpy

            return EventsExecutor()
    return SingleThreadedExecutor()


class _StopSignal:
    """Counts SIGINT and SIGTERM; the third ends the process at once."""

    def __init__(self) -> None:
        self.count = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self)

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count >= 3:
            os._exit(128 + number)


def _spin_slice(executor: Any, nodes: Sequence[BmsNode], fail_safe: bool) -> None:
    try:
        executor.spin_until_future_complete(Future(), timeout_sec=_SLICE_S)
    except (ExternalShutdownException, KeyboardInterrupt):
        raise
    except Exception:
        if fail_safe:
            raise
        for node in nodes:
            node.callback_failed(traceback.format_exc())


def _wind_down(executor: Any, nodes: Sequence[BmsNode], fail_safe: bool) -> None:
    """Spin on until every node is ready to stop, or its deadline is over."""
    start = elapsed_s()
    for node in nodes:
        node.request_stop()
    while True:
        elapsed = elapsed_s() - start
        if all(elapsed > node.stop_deadline_s or node.is_wound_down() for node in nodes):
            return
        _spin_slice(executor, nodes, fail_safe)


def _ask_for_real_time(nodes: Sequence[BmsNode]) -> None:
    """Get for the process what its fail-safe nodes ask for, when all its threads are there."""
    asking = [node for node in nodes if node.real_time is not None]
    wished = [node.real_time for node in asking if node.real_time is not None]
    if not wished:
        return
    options = wished[0]
    for more in wished[1:]:
        options = options.joined(more)
    granted = apply(options)
    for node in asking:
        node.say_real_time(granted)


def run_nodes(
    factories: Sequence[Callable[[], BmsNode]], *, fail_safe: bool = False, arguments: list[str] | None = None
) -> None:
    """Create the nodes, bring them up, spin until SIGINT or SIGTERM, end them in order; does not return.

    Parameters
    ----------
    factories : sequence of callables
        Each gives one node.
    fail_safe : bool
        An exception in a callback ends the process at once with code 1 (driver and safety: their expiring
        commands
        and the missing heartbeat then open the contactors). Otherwise it is logged and said on /diagnostics.
    arguments : list of str, optional
        Command line; default ``sys.argv``.
    """
    stop = _StopSignal()
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    nodes: list[BmsNode] = []
    code = 0
    try:
        executor = make_executor()
        for factory in factories:
            node = factory()
            nodes.append(node)
            executor.add_node(node)
        # a node that must not go on after an exception says so itself, whatever a system file says
        fail_safe = fail_safe or any(node.fail_safe for node in nodes)
        for node in nodes:
            node.start()
        # what was made at start stays: a full collection in the middle of a scan would cost milliseconds
        gc.collect()
        gc.freeze()
        _ask_for_real_time(nodes)
        while not stop.count and rclpy.ok() and all(node.exit_code is None for node in nodes):
            _spin_slice(executor, nodes, fail_safe)
        code = next((node.exit_code for node in nodes if node.exit_code), 0)
        _wind_down(executor, nodes, fail_safe)
    except ConfigError as error:
        sys.stderr.write(f"openbms: {error}\n")
        code = EXIT_CONFIGURATION
    except ExternalShutdownException:
        pass
    except Exception:
        traceback.print_exc()
        code = EXIT_FAULT
    finally:
        for node in reversed(nodes):
            with contextlib.suppress(Exception):
                node.stop()
        for node in nodes:
            with contextlib.suppress(Exception):
                node.destroy_node()
        rclpy.try_shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Fast DDS threads that are still winding down must not turn a clean end into a crash at interpreter exit
    os._exit(code)
