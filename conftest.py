"""Every test process has a ROS domain of its own, which the processes that it starts inherit."""

import os

from processes import free_domain

os.environ["ROS_DOMAIN_ID"] = str(free_domain())
