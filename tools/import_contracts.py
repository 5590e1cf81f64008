"""A contract for import-linter: where ROS may be imported.

import-linter's own contract types name modules one by one, or whole packages; this rule is about every module
that is *not* in a `ros` folder, the ones written tomorrow included.
"""

from __future__ import annotations

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class RosOnlyInRosFolders(Contract):  # type: ignore[misc]
    """Only `<package>.ros` and the packages that are free import ROS, a message, or a `ros` module."""

    type_name = "ros_only_in_ros_folders"

    free_packages = fields.ListField(subfield=fields.StringField())
    ros_modules = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Look at the direct imports of every module."""
        del verbose
        found = []
        for module in sorted(graph.modules):
            package, *rest = module.split(".")
            if graph.is_module_squashed(module) or package in self.free_packages or rest[:1] == ["ros"]:
                continue
            for imported in sorted(graph.find_modules_directly_imported_by(module)):
                if self._is_ros(imported):
                    details = graph.get_import_details(importer=module, imported=imported)
                    lines = ", ".join(str(d["line_number"]) for d in details)
                    found.append(f"{module} -> {imported} (line {lines})")
        return ContractCheck(kept=not found, metadata={"found": found})

    def _is_ros(self, module: str) -> bool:
        root, *rest = module.split(".")
        if root.endswith(("_msgs", "_interfaces")) or root in self.ros_modules:
            return True
        return root.startswith("openbms_") and rest[:1] == ["ros"]

    def render_broken_contract(self, check: ContractCheck) -> None:
        """List the imports that break the rule."""
        for line in check.metadata["found"]:
            output.print_error(f"{line}")
