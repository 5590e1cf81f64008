"""The ROS side of openbms_estimation: the only modules of this package that import rclpy and messages."""
