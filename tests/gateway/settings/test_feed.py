"""The `[feed]` section: what all destinations share, with where alerts go and how they are signed."""

from pydantic import SecretStr

from gateway.settings import Feed


def test_another_process_takes_over_within_ten_seconds_where_nothing_is_said():
    assert Feed().lease < 10


def test_without_a_url_nobody_is_alerted_and_an_empty_one_is_none():
    assert Feed().alert_url is None
    assert Feed(alert_url=SecretStr(""), alert_key=SecretStr(" ")) == Feed()


def test_where_alerts_go_and_how_they_are_signed_is_a_secret():
    feed = Feed(alert_url=SecretStr("https://alerts.example/CANARY"), alert_key=SecretStr("whsec_Q0FOQVJZ"))
    assert feed.alert_url.get_secret_value() == "https://alerts.example/CANARY"
    assert "CANARY" not in repr(feed) and "Q0FOQVJZ" not in repr(feed)
