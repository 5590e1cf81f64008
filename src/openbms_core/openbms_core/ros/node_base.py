"""The base of every OpenBMS node: lifecycle, parameters, topics, the two clocks, diagnostics, clean end.

A node is thin: it converts, calls its pure core, converts and publishes. What all nodes share is here.
"""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from std_msgs.msg import Header

from openbms_core.config_file import ConfigError
from openbms_core.pack import LoadedPack, load_pack
from openbms_core.ros.clocks import elapsed_s
from openbms_core.ros.convert import time_to_msg
from openbms_core.ros.executor import run_nodes
from openbms_core.ros.freshness import Freshness
from openbms_core.ros.interfaces import interface_type, listening, qos_profile, topic_row
from openbms_core.ros.real_time_side import RealTimeSide
from openbms_core.topics import DIAGNOSTICS

__all__ = ["BmsNode", "Freshness", "run_nodes"]

_OF_EVERY_NODE = ("can_interface", "can_channel", "can_host", "can_port", "packs", "names", "channels")
"""A starter tells every node where the bus is, and which packs there are; most do not ask."""


class BmsNode(RealTimeSide, LifecycleNode):  # type: ignore[misc]
    """A lifecycle node that brings itself up unless ``autostart`` is false.

    Subclasses override ``declare``, ``configure``, ``activate``, ``deactivate``, ``release`` and
    ``ready_to_stop``.
    Subscriptions and timers made here run their callbacks only while the node acts: active, or winding down
    after it was
    told to stop.
    """

    stop_deadline_s: float = 2.0
    """The process ends this long after SIGINT or SIGTERM, even if the node is not ready."""
    exit_code: int | None = None
    """Set by the node itself: its process ends in order, with this exit code."""
    fail_safe: bool = False
    """An exception in a callback of its process ends the process at once (driver, safety monitor)."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        # one a node: the executor warns of many timers on one clock, and a process has several nodes
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.active = False
        self.stop_requested = False
        self._winding_down_since: float | None = None
        self._released = False
        self._pack: LoadedPack | None = None
        self._failure: ConfigError | None = None
        self._subscribed: list[Subscription] = []
        self._timers_made: list[Timer] = []
        self._published: list[Publisher] = []
        self._latched_newest: dict[Callable[[Any], None], Any] = {}
        self._status = DiagnosticStatus(
            level=DiagnosticStatus.STALE, name=f"{self.get_fully_qualified_name()}", message="not configured"
        )
        self.parameter("autostart", True, "Configure and activate at start, without a lifecycle manager")
        self.parameter("pack", "demo_96s_nmc", "Pack file: a path, or the name of a shipped pack")
        self.parameter(
            "bus_is_simulated",
            False,
            "The bus is the digital twin's: only then may this node use simulated time",
        )
        self.ask_for_real_time(fail_safe=self.fail_safe)
        self.declare()
        self._warn_of_unknown_parameters()
        self._diagnostics = self.create_publisher(
            interface_type("diagnostic_msgs/msg/DiagnosticArray"),
            DIAGNOSTICS,
            qos_profile(topic_row(DIAGNOSTICS)),
        )
        self._diagnostics_timer = self.create_timer(1.0, self._publish_diagnostics, clock=self._steady)
        self._wind_down_timer = self.create_timer(0.05, self._check_wound_down, clock=self._steady)
        self._wind_down_timer.cancel()

    # ---- what a subclass overrides ----

    def declare(self) -> None:
        """Declare the node's own parameters."""

    def configure(self) -> None:
        """Build the core, publishers, subscriptions, timers. Raise ConfigError to refuse."""

    def activate(self) -> None:
        """Start acting."""

    def deactivate(self) -> None:
        """Stop acting."""

    def release(self) -> None:
        """Close files and sockets; called once, at the end."""

    def ready_to_stop(self) -> bool:
        """Tell whether the node may stop now; asked until it is true or ``stop_deadline_s`` is over."""
        return True

    # ---- parameters and configuration ----

    def parameter(self, name: str, default: Any, description: str, *, dynamic: bool = False) -> None:
        """Declare one parameter; it is read-only after start unless ``dynamic``.

        Raises
        ------
        ConfigError
            It was given with a value of another type.
        """
        try:
            self.declare_parameter(
                name, default, ParameterDescriptor(description=description, read_only=not dynamic)
            )
        except InvalidParameterTypeException:
            given, wanted = self._parameter_overrides[name].value, type(default).__name__
            raise ConfigError(
                f"{self.get_name()}: parameter {name} is {given!r} ({type(given).__name__}): it must be of "
                f"type {wanted}, such as {default!r}."
            ) from None

    def _warn_of_unknown_parameters(self) -> None:
        """Say which parameters were given that this node does not have: ROS drops them without a word."""
        known = sorted(self.get_parameters_by_prefix(""))
        for name in self._parameter_overrides:
            if name in known or name in _OF_EVERY_NODE or name.startswith("qos_overrides."):
                continue
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            cure = f"Did you mean '{near[0]}'?" if near else f"It has: {', '.join(known)}."
            self.get_logger().warning(f"unknown parameter '{name}': it has no effect. {cure}")

    def value(self, name: str) -> Any:
        """Give the value of a parameter."""
        return self.get_parameter(name).value

    @property
    def pack(self) -> LoadedPack:
        """The pack of the standard parameter ``pack``, loaded on first use.

        Raises
        ------
        ConfigError
            The pack file or its cell file cannot be used.
        """
        if self._pack is None:
            self._pack = load_pack(self.value("pack"))
        return self._pack

    def require_real_time(self) -> None:
        """Refuse simulated time on a real bus (ConfigError): protection must not hang on a /clock."""
        if self.value("use_sim_time") and not self.value("bus_is_simulated"):
            raise ConfigError(
                f"{self.get_name()}: use_sim_time is refused on a real bus. "
                "Leave it false, or set bus_is_simulated where the bus is the digital twin's."
            )

    # ---- time ----

    def now_s(self) -> float:
        """Give ROS time [s]: for stamps of acquisition."""
        return float(self.get_clock().now().nanoseconds) * 1e-9

    @staticmethod
    def monotonic_s() -> float:
        """Give the time that has passed, also while the computer slept [s]: for ages, expiry, deadlines."""
        return elapsed_s()

    def header(self, stamp_s: float | None = None) -> Header:
        """Give a header with the stamp (default now) and the pack's serial number."""
        return Header(
            stamp=time_to_msg(self.now_s() if stamp_s is None else stamp_s), frame_id=self.pack.file.serial
        )

    # ---- topics and timers ----

    @staticmethod
    def qos(topic: Any) -> Any:
        """Give the QoS of a row of the topic table."""
        return qos_profile(topic)

    def publisher_for(self, name: str, *, as_name: str | None = None) -> Publisher:
        """Make a publisher for a topic of the table (``as_name``: under another name)."""
        topic = topic_row(name)
        publisher = self.create_publisher(interface_type(topic.type), as_name or name, qos_profile(topic))
        self._published.append(publisher)
        return publisher

    def listen(
        self,
        name: str,
        callback: Callable[[Any], None],
        *,
        raw: bool = False,
        every_message: bool = False,
        as_name: str | None = None,
    ) -> Subscription:
        """Subscribe to a topic of the table; the callback runs only while the node acts.

        ``as_name``: under another name, such as that of one of several packs.

        What is latched comes once: it is kept, and given at every activation. Of what is periodic the newest
        counts; who needs ``every_message`` waits for the repair of lost ones.
        """
        topic = topic_row(name)
        latched = topic.quality == "latched"

        def received(message: Any) -> None:
            if latched:
                self._latched_newest[callback] = message
            if self.acting:
                callback(message)

        subscription = self.create_subscription(
            interface_type(topic.type),
            as_name or name,
            received,
            qos_profile(topic) if every_message else listening(topic),
            raw=raw,
        )
        self._subscribed.append(subscription)
        return subscription

    def every(self, period_s: float, callback: Callable[[], None]) -> Timer:
        """Call back on the monotonic clock; the callback runs only while the node acts."""

        def due() -> None:
            if self.acting:
                callback()

        timer = self.create_timer(period_s, due, clock=self._steady)
        self._timers_made.append(timer)
        return timer

    # ---- diagnostics ----

    def diagnostic(self, level: int, message: str, **values: Any) -> None:
        """Set what this node says on /diagnostics (0 ok, 1 warning, 2 error); published at 1 Hz."""
        self._status.level = bytes([level])
        self._status.message = message
        self._status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]

    def callback_failed(self, text: str) -> None:
        """Say that a callback raised."""
        self.get_logger().error(f"a callback raised, the node goes on:\n{text}")
        self.diagnostic(2, f"a callback raised: {text.strip().splitlines()[-1]}")

    def _publish_diagnostics(self) -> None:
        self._status.hardware_id = self._pack.file.serial if self._pack is not None else ""
        message = DiagnosticArray(status=[self._status, *self.real_time_status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    # ---- lifecycle ----

    @property
    def acting(self) -> bool:
        """The node is active, or winds down after it was told to stop."""
        return self.active or self._winding_down_since is not None

    def start(self) -> None:
        """Configure and activate, where ``autostart`` is set.

        Raises
        ------
        ConfigError
            The node refuses its configuration.
        """
        if not self.value("autostart"):
            return
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                raise self._failure or ConfigError(f"{self.get_name()}: could not start; see the log above.")

    def request_stop(self) -> None:
        """Begin to wind down: the node acts on until it is ready to stop."""
        self.stop_requested = True
        if self.active:
            self._winding_down_since = self.monotonic_s()

    def is_wound_down(self) -> bool:
        """Tell whether the node has nothing left to do."""
        return not self.acting or self.ready_to_stop()

    def stop(self) -> None:
        """End the node: stop acting, release what it holds."""
        self._winding_down_since = None
        if self.active:
            self.active = False
            self.deactivate()
        if not self._released:
            self._released = True
            self.release()

    def _check_wound_down(self) -> None:
        since = self._winding_down_since
        if since is None:
            self._wind_down_timer.cancel()
        elif self.monotonic_s() - since > self.stop_deadline_s or self.ready_to_stop():
            self._winding_down_since = None
            self._wind_down_timer.cancel()
            self.stop_requested = False
            self.deactivate()
            self.diagnostic(1, "inactive")

    def _attempt(self, step: Callable[[], None]) -> TransitionCallbackReturn:
        """Take a step of a transition; rclpy would swallow what it raises."""
        try:
            step()
        except ConfigError as error:
            self._failure = error
            self.get_logger().error(str(error))
            self.diagnostic(2, str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.get_logger().error(traceback.format_exc())
            self.diagnostic(2, f"{type(error).__name__}: {error}")
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _refuse_while_winding_down(self, transition: str) -> bool:
        # contactors may still be closed: to begin anew or to release the bus would open them under load
        if self._winding_down_since is None:
            return False
        self.get_logger().error(f"{transition} is refused: the node is still winding down; ask again")
        return True

    def _begin(self) -> None:
        self.activate()
        self.stop_requested = False
        self.active = True
        for callback, message in self._latched_newest.items():
            callback(message)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle: unconfigured to inactive."""
        done = self._attempt(self.configure)
        if done == TransitionCallbackReturn.SUCCESS:
            self.diagnostic(1, "inactive")
        return done

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle: inactive to active; refused while it is still winding down."""
        if self._refuse_while_winding_down("activation"):
            return TransitionCallbackReturn.FAILURE
        done = self._attempt(self._begin)
        if done != TransitionCallbackReturn.SUCCESS:
            if self.active:
                self.active = False
                self.deactivate()
            return done
        if self._status.message == "inactive":
            self.diagnostic(0, "active")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle: active to inactive.

        What must be wound down first (open contactors) goes on until it is done.
        """
        self.request_stop()
        self.active = False
        self._wind_down_timer.reset()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle: inactive to unconfigured; refused while it is still winding down."""
        if self._refuse_while_winding_down("cleaning up"):
            return TransitionCallbackReturn.FAILURE
        for subscription in self._subscribed:
            self.destroy_subscription(subscription)
        for timer in self._timers_made:
            self.destroy_timer(timer)
        self.release()
        # after the threads that publish have ended; what an old one latched must not be heard any more
        for publisher in self._published:
            self.destroy_publisher(publisher)
        self._subscribed, self._timers_made, self._published = [], [], []
        self._latched_newest.clear()
        self._pack = None
        self.diagnostic(3, "not configured")
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle: to finalized; an active node winds down as after a deactivation."""
        self.request_stop()
        self.active = False
        self._wind_down_timer.reset()
        return super().on_shutdown(state)
