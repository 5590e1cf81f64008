"""The topic table."""

import pytest

from openbms_core.topics import TOPIC_BY_NAME, TOPICS, absolute_name


def test_names_are_unique_and_rows_complete() -> None:
    assert len(TOPIC_BY_NAME) == len(TOPICS)
    for topic in TOPICS:
        assert topic.type.count("/") == 2
        assert topic.meaning
        assert topic.stale_after_s > 0
        # whoever publishes at a rate is lost only after at least two missed messages
        assert topic.rate_hz == 0 or topic.stale_after_s * topic.rate_hz >= 2


@pytest.mark.parametrize(
    ("name", "namespace", "expected"),
    [
        ("soc", "/bms", "/bms/soc"),
        ("soc", "bms/", "/bms/soc"),
        ("soc", "/", "/soc"),
        ("soc", "", "/soc"),
        ("soc", "/fleet/pack_2", "/fleet/pack_2/soc"),
        ("/diagnostics", "/bms", "/diagnostics"),
    ],
)
def test_absolute_name(name: str, namespace: str, expected: str) -> None:
    assert absolute_name(TOPIC_BY_NAME[name], namespace) == expected
