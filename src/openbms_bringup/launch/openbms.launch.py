"""Launch a whole battery management system: driver, safety monitor, estimators, recorder and live view.

ros2 launch openbms_bringup openbms.launch.py pack:=my_pack.yaml can_interface:=socketcan can_channel:=can0
"""

import json
import os
import shlex
import subprocess
from pathlib import Path

from launch.actions import DeclareLaunchArgument, EmitEvent, LogInfo, OpaqueFunction
from launch.events import Shutdown, matches_action
from launch.events.process import ShutdownProcess
from launch.logging import launch_config
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription

EXIT_CONFIGURATION = 2
# A process that ends with this asks for the end of the whole system (node power_manager).
EXIT_POWER_DOWN = 10
# Time between SIGTERM and SIGKILL; SIGINT, which opens the contactors in order, has the pack's own deadline.
KILL_AFTER_TERM_S = 2.0


def _plan(context, folder):
    """Resolve system and pack with the Python that runs the nodes: the one of ros2 may lack libraries."""
    value = {
        name: LaunchConfiguration(name).perform(context)
        for name in (
            "pack",
            "system",
            "can_interface",
            "can_channel",
            "can_host",
            "can_port",
            "sim",
            "use_sim_time",
        )
    }
    simulated = value["sim"].lower() in ("true", "1") or (
        value["sim"].lower() == "auto" and not value["can_interface"] and not value["system"]
    )
    command = ["python3", "-m", "openbms_bringup.plan", "--parameters-to", folder]
    command += ["--system", value["system"] or ("demo" if simulated else "vehicle")]
    for name in ("pack", "can_interface", "can_channel", "can_host", "can_port"):
        if value[name]:
            command += [f"--{name.replace('_', '-')}", value[name]]
    if value["use_sim_time"].lower() in ("true", "1"):
        command.append("--use-sim-time")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["the plan could not be made"]
        # a refusal is one sentence a line; anything else is a traceback, of which the last line says what is
        # missing
        raise RuntimeError("\n".join(lines if done.returncode == EXIT_CONFIGURATION else lines[-1:]))
    return json.loads(done.stdout)


class _PowerDown:
    """Runs the host's command when the last process has ended after the key went off."""

    def __init__(self, command, processes):
        self._command = command
        self._left = set(processes)
        self.asked = False

    def ended(self, name):
        """Note the end of a process; give what is to be said."""
        self._left.discard(name)
        if not self.asked or self._left or not self._command:
            return []
        text = shlex.join(self._command)
        try:
            subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)
        except OSError as error:
            return [LogInfo(msg=f"openbms: {text}: cannot be run ({error.strerror})")]
        return [LogInfo(msg=f"openbms: everything has ended; running: {text}")]


def _on_exit(name, critical, power_down):
    """React to a process that is gone: one that refuses its configuration is not tried again."""

    def react(event, context):
        if event.returncode == EXIT_POWER_DOWN and not context.is_shutdown:
            power_down.asked = True
            asks = "openbms: the key is off: ordered power-down"
            said = power_down.ended(name)
            return [LogInfo(msg=asks), EmitEvent(event=Shutdown(reason=asks)), *said]
        if context.is_shutdown:
            return power_down.ended(name)
        if event.returncode != EXIT_CONFIGURATION:
            return [LogInfo(msg=f"openbms: process '{name}' is gone (exit code {event.returncode})")]
        refusal = f"openbms: process '{name}' refuses its configuration (see its message above)"
        if critical:
            return [LogInfo(msg=refusal), EmitEvent(event=Shutdown(reason=refusal))]
        return [
            LogInfo(msg=f"{refusal} and is not started again"),
            EmitEvent(event=ShutdownProcess(process_matcher=matches_action(event.action))),
        ]

    return react


def _processes(context):
    # beside the logs of this launch; one folder a pack where several are launched together
    namespace = LaunchConfiguration("namespace").perform(context).strip("/").replace("/", "_")
    plan = _plan(context, str(Path(launch_config.log_dir) / f"openbms_{namespace}"))
    extra = LaunchConfiguration("params").perform(context)
    if extra and not Path(extra).is_file():
        raise RuntimeError(f"params: no such file: {extra}")
    actions = [LogInfo(msg=f"openbms: pack {plan['pack']}, bus {plan['bus']}")]
    power_down = _PowerDown(plan["after_power_down"], plan["processes"])
    for name, process in plan["processes"].items():
        restart = process["respawn_delay_s"]
        actions.append(
            Node(
                package="openbms_bringup",
                executable="node_group",
                # never name=: it would rename every node of the group
                namespace=LaunchConfiguration("namespace"),
                exec_name=name,
                arguments=[*process["arguments"], "--parent", str(os.getpid())],
                parameters=[process["parameters"], *([extra] if extra else [])],
                ros_arguments=["--log-level", LaunchConfiguration("log_level")],
                additional_env=process["environment"] or None,
                output="screen",
                respawn=restart is not None,
                respawn_delay=restart,
                sigterm_timeout=str(plan["stop_deadline_s"]),
                sigkill_timeout=str(KILL_AFTER_TERM_S),
                on_exit=_on_exit(name, process["critical"], power_down),
            )
        )
    return actions


def generate_launch_description():
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "pack",
                default_value="",
                description="Pack file, or name of a shipped one; empty: the system's",
            ),
            DeclareLaunchArgument(
                "system",
                default_value="",
                description="System file, or name of a shipped one; empty: demo or vehicle, see sim",
            ),
            DeclareLaunchArgument(
                "can_interface",
                default_value="",
                description="python-can interface, such as socketcan; empty: the system's",
            ),
            DeclareLaunchArgument(
                "can_channel", default_value="", description="CAN channel, such as can0; empty: the system's"
            ),
            DeclareLaunchArgument(
                "can_host",
                default_value="",
                description="Address of a socketcand server; empty: the system's",
            ),
            DeclareLaunchArgument(
                "can_port", default_value="", description="Port of a socketcand server; empty: the system's"
            ),
            DeclareLaunchArgument(
                "sim",
                default_value="auto",
                choices=["true", "false", "auto"],
                description="Run the digital twin; auto: if neither can_interface nor system is given",
            ),
            DeclareLaunchArgument(
                "namespace",
                default_value="bms",
                description="Namespace of the pack; several packs, several namespaces",
            ),
            DeclareLaunchArgument(
                "params",
                default_value="",
                description="Further ROS parameter file, keyed /**/<node>; wins over the system's",
            ),
            DeclareLaunchArgument(
                "log_level", default_value="info", description="Severity from which nodes log"
            ),
            DeclareLaunchArgument(
                "use_sim_time", default_value="false", description="Time from /clock; refused on a real bus"
            ),
            OpaqueFunction(function=_processes),
        ]
    )
