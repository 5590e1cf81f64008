"""Two runs on one computer."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from openbms_bringup.claim import claim_domain, claim_port
from openbms_core.config_file import ConfigError


def test_second_run_takes_the_next_domain_and_says_so(tmp_path: Path) -> None:
    first = claim_domain("bms", None, tmp_path)
    second = claim_domain("bms", None, tmp_path)
    assert (first.domain, first.moved_from) == (0, None)
    assert (second.domain, second.moved_from) == (1, 0)
    first.release()
    third = claim_domain("/bms/", None, tmp_path)
    assert third.domain == 0
    second.release()
    third.release()


def test_a_domain_that_was_asked_for_is_not_changed(tmp_path: Path) -> None:
    first = claim_domain("bms", "7", tmp_path)
    with pytest.raises(ConfigError, match="ROS domain 7 with namespace /bms is in use"):
        claim_domain("bms", "7", tmp_path)
    other = claim_domain("other", "7", tmp_path)
    assert other.domain == first.domain == 7
    first.release()
    other.release()


def test_a_domain_must_be_a_number(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be a number"):
        claim_domain("bms", "seven", tmp_path)


def test_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert claim_port("127.0.0.1", port) != port
    assert claim_port("127.0.0.1", port) == port
