"""The process of a group: what it refuses, and how it says so."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest
from processes import free_domain, wait_until

from openbms_bringup.ros.node_group import check_remaps, node_class
from openbms_core.config_file import ConfigError


def test_a_new_node_name_is_refused() -> None:
    check_remaps(["--ros-args", "-r", "__ns:=/bms"])
    with pytest.raises(ConfigError, match="renames every node"):
        check_remaps(["--ros-args", "-r", "__node:=x"])


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("openbms_nowhere.x:Y", "'openbms_nowhere' is missing"),
        ("openbms_core.pack:Nothing", "has no 'Nothing'"),
    ],
)
def test_a_class_that_is_not_there(path: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        node_class(path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--system", "nothing", "--process", "driver"], "nothing: no such file"),
        (["--system", "demo", "--process", "nobody"], "no process 'nobody'; there are: sim, driver"),
        (["--system", "demo", "--process", "ui", "--ros-args", "-r", "__node:=x"], "renames every node"),
    ],
)
def test_a_refusal_is_one_sentence_and_exit_code_2(arguments: list[str], said: str) -> None:
    command = [sys.executable, "-m", "openbms_bringup.ros.node_group", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_starter_that_is_gone_before_the_process_has_started_leaves_nobody() -> None:
    starter = (
        "import os, subprocess, sys\n"
        "one = subprocess.Popen([sys.executable, '-m', 'openbms_bringup.ros.node_group', '--system',\n"
        "    'demo', '--process', 'ui', '--stop-with-parent', '5', '--parent', str(os.getpid())],\n"
        "    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(one.pid, flush=True)\nos._exit(0)"
    )
    environment = {**os.environ, "ROS_DOMAIN_ID": str(free_domain())}
    done = subprocess.run(
        [sys.executable, "-c", starter], env=environment, stdout=subprocess.PIPE, text=True, timeout=30
    )
    pid = int(done.stdout)

    def ended() -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    wait_until(ended, 20.0, "the process ends after its starter")
