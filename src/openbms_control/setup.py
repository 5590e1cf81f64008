"""Installation of openbms_control by colcon (ament_python)."""

from setuptools import find_packages, setup

package_name = "openbms_control"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test", "test.*"]),
    package_data={"": [f"**/*.{ext}" for ext in ("yaml", "json", "dbc", "parquet", "md")]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="OpenBMS maintainers",
    maintainer_email="maintainers@openbms.invalid",
    description="Control of OpenBMS: safety monitor, state machine, balancing, thermal, charging and energy",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "safety_monitor = openbms_control.ros.safety_monitor_node:main",
            "battery_state_publisher = openbms_control.ros.battery_state_node:main",
            "pack_aggregator = openbms_control.ros.pack_aggregator_node:main",
        ],
    },
)
