"""Installation of openbms_bringup by colcon (ament_python)."""

from pathlib import Path

from setuptools import find_packages, setup

package_name = "openbms_bringup"


def share_tree(folder):
    """Every file below `folder`, to be installed under share/ with the same tree."""
    trees = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and path.name != ".gitkeep" and "__pycache__" not in path.parts:
            trees.setdefault(f"share/{package_name}/{path.parent.as_posix()}", []).append(path.as_posix())
    return sorted(trees.items())


setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test", "test.*"]),
    package_data={"": [f"**/*.{ext}" for ext in ("yaml", "json", "dbc", "parquet", "md")]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
        *share_tree("launch"),
        *share_tree("config"),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="OpenBMS maintainers",
    maintainer_email="maintainers@openbms.invalid",
    description="Launch files, configuration, command line and process supervision of OpenBMS",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "openbms = openbms_bringup.cli.main:app",
            "node_group = openbms_bringup.ros.node_group:main",
        ],
    },
)
