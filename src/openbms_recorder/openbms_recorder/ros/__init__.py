"""The ROS side of openbms_recorder: the only modules of this package that import rclpy and messages."""
