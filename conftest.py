"""Every test process has a ROS domain of its own, which the processes that it starts inherit."""

import os

from hypothesis import settings
from processes import free_domain

os.environ["ROS_DOMAIN_ID"] = str(free_domain())

# a busy machine is no failure: tests assert behaviour, not time
settings.register_profile("openbms", deadline=None)
settings.load_profile("openbms")
