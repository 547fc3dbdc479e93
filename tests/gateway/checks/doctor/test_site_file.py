"""The settings file that setup writes: what was answered with its reason, what is not known as a comment."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fakes.examined import examined, said
from hypothesis import given
from hypothesis import strategies as st

from gateway.checks.doctor.seen import Seen
from gateway.checks.doctor.site_file import site_file
from gateway.settings import Configuration, Settings, survey
from mappings.profile import Site

EMPTY = Configuration(Settings.model_construct(), Site(), "answers.toml")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
VALUES = st.one_of(
    st.booleans(), st.integers(-9, 9), TEXT, st.lists(TEXT, max_size=2), st.just(datetime(2026, 3, 1, tzinfo=UTC))
)
TABLE = st.dictionaries(TEXT, VALUES, min_size=1, max_size=3)
ANSWERS = st.fixed_dictionaries(
    {"mapping": TABLE}, optional={"sync": TABLE, "destination": st.lists(TABLE, min_size=1, max_size=2)}
)


def seen(*names: str, **more: Any) -> Seen:
    return examined([said({"facilityName": name}, **more) for name in names], Site())


@given(answers=ANSWERS, inner=st.lists(TABLE, min_size=1, max_size=2))
def test_every_answer_stands_in_the_file_as_it_was_given(answers, inner):
    answers = {**answers, "mapping": {**answers["mapping"], "receivers": inner, "procedure_fallbacks": inner[0]}}
    assert tomllib.loads(site_file(answers, Seen(), EMPTY)) == answers


def test_each_setting_has_a_reason_behind_it():
    answers = {"sync": {"sweep_interval": 3}, "mapping": {"sending_facility": "CITY", "facilities": [{"name": "A"}]}}
    text = site_file(answers, Seen(), EMPTY)
    assert 'sending_facility = "CITY"   # MSH-4 Sending Facility' in text
    lines = [one for one in text.splitlines() if " = " in one and not one.startswith(("#", "name = "))]
    assert lines and all(re.search(r"   # \S", one) for one in lines)


def test_a_facility_that_nobody_answered_for_has_comments_on_what_is_not_known_and_no_value():
    text = site_file({}, seen("Lakeside", "Mercy"), EMPTY)
    tables = tomllib.loads(text)["mapping"]["facilities"]
    assert tables == [{"name": name, "name_order": "marked_only"} for name in ("Lakeside", "Mercy")]
    assert text.count("# time_zone: not known, so only dates are sent") == 2
    assert text.count("# mrn_namespace: not known whose its patient numbers are") == 2


def test_what_was_answered_is_not_said_to_be_unknown():
    answered = {"name": "LAKE  side", "aliases": ["Mercy"], "time_zone": "America/Denver", "mrn_namespace": "LAKE"}
    text = site_file({"mapping": {"facilities": [answered]}}, seen("Lake Side", "Mercy"), EMPTY)
    assert tomllib.loads(text)["mapping"]["facilities"] == [{"name_order": "marked_only", **answered}]
    assert "not known" not in re.sub(r"name_order = .*", "", text)


def test_two_names_that_are_alike_are_two_facilities_and_the_file_says_what_one_would_mean():
    text = site_file({}, seen("Mercy East", "Mercy Eest"), EMPTY)
    assert [one["name"] for one in tomllib.loads(text)["mapping"]["facilities"]] == ["Mercy East", "Mercy Eest"]
    assert '# Or, if it is "Mercy East" in another spelling' in text
    assert "equal numbers would become one person" in text


def test_under_a_default_facility_no_other_facility_is_written_that_would_lose_its_authority():
    text = site_file({"mapping": {"default_facility": "Mercy"}}, seen("Lakeside"), EMPTY)
    assert "facilities" not in tomllib.loads(text)["mapping"]


def test_a_key_of_metadata_that_is_safe_is_a_setting_and_one_that_is_not_a_comment():
    found = examined([said({}, metadata={"accession": "1", "acc": "2"}), said({}, metadata={"accession": "3"})], Site())
    text = site_file({"mapping": {"sending_facility": "CITY"}}, found, EMPTY)
    assert tomllib.loads(text)["mapping"]["accession_keys"] == ["accession"]
    assert '# accession_keys: "acc" is not pasted: a study with a number under it and another key' in text


@pytest.mark.parametrize("names", [(), ("Lakeside", "Lakesid", "Ünwritable\ud800", 'quo"te')])
def test_the_file_as_answers_gives_the_same_file(names, tmp_path: Path):
    found = seen(*names, metadata={"accession": "1", "acc": "2"})
    answers = {"auth": {"mode": "builtin"}, "mapping": {"sending_facility": "A"}, "destination": [{"name": "x"}]}
    once = site_file(answers, found, EMPTY)
    path = tmp_path / "gateway.toml"
    path.write_text(once.partition("[[destination]]")[0])
    configuration, problems = survey(path)
    assert configuration is not None and problems == []
    assert site_file(tomllib.loads(once), found, configuration) == once
