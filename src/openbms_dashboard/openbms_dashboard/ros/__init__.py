"""The ROS side of openbms_dashboard: the only modules of this package that import rclpy and messages."""
