"""The ROS side of openbms_control: the only modules of this package that import rclpy and messages."""
