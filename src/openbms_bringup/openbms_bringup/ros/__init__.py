"""The ROS side of openbms_bringup: the only modules of this package that import rclpy and messages."""
