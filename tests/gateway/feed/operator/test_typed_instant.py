"""A typed instant is read in the site's zone or by its own offset; an ambiguous one is refused."""

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feed.operator.arguments import typed_instant
from gateway.runtime.errors import ConfigError

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-27", "2026-11-27T05:00:00+00:00"),
        ("2026-07-01", "2026-07-01T04:00:00+00:00"),
        ("2026-11-27 14:30", "2026-11-27T19:30:00+00:00"),
        (" 2026-11-27T14:30 ", "2026-11-27T19:30:00+00:00"),
        ("2026-11-27t14:30:05.5", "2026-11-27T19:30:05.500000+00:00"),
        ("2026-11-27T14:30Z", "2026-11-27T14:30:00+00:00"),
        ("2026-11-27 14:30:01 +01:00", "2026-11-27T13:30:01+00:00"),
        ("2026-11-01T01:30:00-0500", "2026-11-01T06:30:00+00:00"),
    ],
)
def test_without_an_offset_it_is_a_time_of_the_zone(text, meant, capsys):
    found = typed_instant("--from", text, NEW_YORK)
    assert found.astimezone(UTC).isoformat() == meant
    assert capsys.readouterr().err == f"--from is {found.astimezone(NEW_YORK).isoformat()} (America/New_York)\n"


@pytest.mark.parametrize(
    ("text", "zone", "said"),
    [
        (
            "2026-11-01 01:30",
            "America/New_York",
            "--to: the clocks of America/New_York show 2026-11-01 01:30:00 twice on that day. "
            "Write 2026-11-01T01:30:00-04:00 or 2026-11-01T01:30:00-05:00.",
        ),
        (
            "2026-03-08T02:30",
            "America/New_York",
            "--to: the clocks of America/New_York skip 2026-03-08 02:30:00: that local time does not exist. "
            "Write 2026-03-08T01:30:00-05:00 or 2026-03-08T03:30:00-04:00.",
        ),
        ("2026-03-08", "America/Havana", "--to: the clocks of America/Havana skip 2026-03-08 00:00:00"),
    ],
)
def test_a_time_that_a_clock_change_skips_or_repeats_is_refused_with_both_readings(text, zone, said):
    with pytest.raises(ConfigError) as refused:
        typed_instant("--to", text, ZoneInfo(zone))
    assert said in str(refused.value)
    for reading in refused.value.cure.removeprefix("Write ").removesuffix(".").split(" or "):
        assert typed_instant("--to", reading, ZoneInfo(zone)).isoformat() == reading


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "2026", "2026-11", "2026-02-30", "2026-11-27T24:00", "2026-11-27T14", "2026-11-27Z"),
        *("0001-01-01T00:00+10:00", "9999-12-31T23:59", "2026-11-27T14:30+25:00"),
    ],
)
def test_what_is_no_instant_is_refused_with_what_to_write(text):
    with pytest.raises(ConfigError, match=r"--from: neither a day nor a time .*Write a day or a time, such as"):
        typed_instant("--from", text, NEW_YORK)


@given(st.datetimes())
def test_whatever_is_understood_reads_the_same_on_the_clocks_of_the_zone(local):
    try:
        found = typed_instant("--from", local.isoformat(" "), NEW_YORK)
    except ConfigError:
        return
    assert found.astimezone(NEW_YORK).replace(tzinfo=None) == local


async def test_the_commands_ask_in_the_zone_of_the_settings_and_say_what_they_understood(site):
    tokyo, new_york = ({"GATEWAY_FHIR__TIME_ZONE": zone} for zone in ("Asia/Tokyo", "America/New_York"))
    async with site() as here:
        await here.sync()
        run = here.here.run
        _, out, err = await run("feed", "certificate", "ehr", "--from", "2020-01-02", **tokyo)
        assert "signed from 2020-01-01T15:00:00.000000Z to now" in out
        assert "--from is 2020-01-02T00:00:00+09:00 (Asia/Tokyo)" in err
        dry = ("feed", "backload", "ehr", "--dry-run", "--from", "2020-01-02 08:00", "--to")
        code, _, err = await run(*dry, "2020-01-02T08:30+09:00", **tokyo)
        assert (code, err.count("(Asia/Tokyo)")) == (0, 2)
        code, _, err = await run(*dry, "2026-03-08 02:30", **new_york)
        assert (code, "--to: the clocks of America/New_York skip 2026-03-08 02:30:00" in err) == (2, True)
        code, _, err = await run("serve", "--hold-feed", "--restored-from", "2026-03-08 02:30", **new_york)
        assert (code, "--restored-from: the clocks of America/New_York skip" in err) == (2, True)
