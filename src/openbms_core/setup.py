"""Installation of openbms_core by colcon (ament_python)."""

from setuptools import find_packages, setup

package_name = "openbms_core"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test", "test.*"]),
    package_data={"": [f"**/*.{ext}" for ext in ("yaml", "json", "dbc", "parquet", "md", "xml")]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="OpenBMS maintainers",
    maintainer_email="maintainers@openbms.invalid",
    description="What all of OpenBMS shares: pack description, types, limits, faults, topics and cell models",
    license="Apache-2.0",
)
