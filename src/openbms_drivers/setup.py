"""Installation of openbms_drivers by colcon (ament_python)."""

from setuptools import find_packages, setup

package_name = "openbms_drivers"

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
    description="Device drivers of OpenBMS: analog front ends and gateways over CAN, one folder per device",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "afe_driver = openbms_drivers.ros.afe_driver_node:main",
            "inverter_gateway = openbms_drivers.ros.inverter_gateway_node:main",
            "site_adapter = openbms_drivers.ros.site_adapter_node:main",
            "vehicle_gateway = openbms_drivers.ros.vehicle_gateway_node:main",
            "actuator_driver = openbms_drivers.ros.actuator_driver_node:main",
        ],
    },
)
