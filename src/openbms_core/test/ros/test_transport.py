"""The transport between processes is chosen, unless the user has."""

import os

import pytest

from openbms_core.ros.transport import PROFILES, choose_transport


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"ROS_DISTRO": "jazzy"}, (None, str(PROFILES))),
        ({"ROS_DISTRO": "kilted"}, ("UDPv4", None)),
        ({"FASTDDS_BUILTIN_TRANSPORTS": "SHM"}, ("SHM", None)),
        ({"FASTRTPS_DEFAULT_PROFILES_FILE": "mine.xml"}, (None, "mine.xml")),
        ({"FASTDDS_DEFAULT_PROFILES_FILE": "mine.xml"}, (None, None)),
    ],
)
def test_the_users_choice_of_transport_stays(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: tuple[str | None, str | None]
) -> None:
    names = ("FASTDDS_BUILTIN_TRANSPORTS", "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
    for name in names:
        monkeypatch.setenv(name, "")  # restored at the end, whatever is set here
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    choose_transport()
    assert tuple(os.environ.get(name) for name in names[:2]) == expected
    assert PROFILES.is_file()
