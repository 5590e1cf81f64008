"""What a vehicle is told and what it asks for, without bus and without ROS."""
