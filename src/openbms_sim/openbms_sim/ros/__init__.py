"""The ROS side of openbms_sim: the only modules of this package that import rclpy and messages."""
