"""The `[feed]` section: what all destinations share, with where alerts go and how they are signed."""

import pytest
from pydantic import SecretStr, ValidationError

from gateway.settings import Escalation, Feed


def test_another_process_takes_over_within_ten_seconds_where_nothing_is_said():
    assert Feed().lease < 10


def test_without_a_url_nobody_is_alerted_and_an_empty_one_is_none():
    assert Feed().alert_url is None
    assert Feed(alert_url=SecretStr(""), alert_key=SecretStr(" ")) == Feed()


def test_where_alerts_go_and_how_they_are_signed_is_a_secret():
    feed = Feed(alert_url=SecretStr("https://alerts.example/CANARY"), alert_key=SecretStr("whsec_Q0FOQVJZ"))
    assert feed.alert_url.get_secret_value() == "https://alerts.example/CANARY"
    assert "CANARY" not in repr(feed) and "Q0FOQVJZ" not in repr(feed)


def test_who_else_is_told_of_a_critical_result_and_when_is_a_table_and_its_address_a_secret():
    first = Escalation(minutes=5, url=SecretStr("https://a.example/CANARY"), key=SecretStr("whsec_Q0FOQVJZ"))
    feed = Feed(escalate=(first, Escalation(minutes=20, url=SecretStr("https://b.example"))))
    assert [one.minutes for one in feed.escalate] == [5, 20]
    assert "CANARY" not in repr(feed) and "Q0FOQVJZ" not in repr(feed)


@pytest.mark.parametrize("second", [4, 5])
def test_each_is_told_later_than_the_one_before(second):
    url = SecretStr("https://a.example")
    with pytest.raises(ValidationError, match="minutes that are not more"):
        Feed(escalate=(Escalation(minutes=5, url=url), Escalation(minutes=second, url=url)))
