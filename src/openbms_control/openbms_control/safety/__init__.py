"""The safety monitor: pure parts, without ROS. See :mod:`openbms_control.safety.monitor`."""
