"""Launch the demonstration: openbms.launch.py with the digital twin in place of a pack."""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription

FORWARDED = {
    "pack": ("", "Pack file, or name of a shipped one; empty: the demonstration pack"),
    "namespace": ("bms", "Namespace of the pack"),
    "params": ("", "Further ROS parameter file, keyed /**/<node>"),
    "log_level": ("info", "Severity from which nodes log"),
    "use_sim_time": ("false", "Time from /clock of the twin"),
}


def generate_launch_description():
    whole = Path(__file__).resolve().parent / "openbms.launch.py"
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, (default, text) in FORWARDED.items()
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(whole)),
                launch_arguments=[
                    ("sim", "true"),
                    *((name, LaunchConfiguration(name)) for name in FORWARDED),
                ],
            ),
        ]
    )
