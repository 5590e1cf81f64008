"""Installation of openbms_estimation by colcon (ament_python)."""

from setuptools import find_packages, setup

package_name = "openbms_estimation"

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
    description="Estimators of OpenBMS: state of charge, state of health, power limits and cell diagnosis",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "soc_estimator = openbms_estimation.ros.soc_estimator_node:main",
            "soh_estimator = openbms_estimation.ros.soh_estimator_node:main",
            "diagnoser = openbms_estimation.ros.diagnoser_node:main",
            "power_limiter = openbms_estimation.ros.power_limiter_node:main",
        ],
    },
)
