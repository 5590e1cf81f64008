"""The ROS side of openbms_drivers: the only modules of this package that import rclpy and messages."""
