"""Installation of openbms_sim by colcon (ament_python)."""

from setuptools import find_packages, setup

package_name = "openbms_sim"

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
    description="Digital twin of OpenBMS: pack plant, faults, replay, CAN hub and simulated front end",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "twin = openbms_sim.ros.twin_node:main",
            "rack_twin = openbms_sim.ros.rack_twin_node:main",
            "can_hub = openbms_sim.can_hub:main",
        ],
    },
)
