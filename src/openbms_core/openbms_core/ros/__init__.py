"""The ROS side of openbms_core: the only modules of this package that import rclpy and messages."""
