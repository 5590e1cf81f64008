"""ROS side of the core: node base, executor, message conversion. Import this before any message package."""

import os

from openbms_core.ros.transport import choose_transport

# Without it rclpy serialises a wrong-length array with memory beyond it. Read when a message is imported.
os.environ.setdefault("ROS_PYTHON_CHECK_FIELDS", "1")
choose_transport()
