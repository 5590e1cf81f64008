"""The transport between processes is chosen, unless the user has."""

import os

import pytest

from openbms_core.ros.transport import choose_transport


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "UDPv4"),
        ({"FASTDDS_BUILTIN_TRANSPORTS": "SHM"}, "SHM"),
        ({"FASTRTPS_DEFAULT_PROFILES_FILE": "mine.xml"}, None),
    ],
)
def test_the_users_choice_of_transport_stays(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str | None
) -> None:
    monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", "")  # restored at the end, whatever is set here
    for name in ("FASTDDS_BUILTIN_TRANSPORTS", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    choose_transport()
    assert os.environ.get("FASTDDS_BUILTIN_TRANSPORTS") == expected
