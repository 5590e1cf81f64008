"""Pack description, cell library, measurement and estimate types, limits, fault table, topic table and cell models of OpenBMS, and the base of its ROS nodes."""
