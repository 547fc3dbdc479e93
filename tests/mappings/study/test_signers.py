"""Signer of a report: AutoScribe's data, and the site's directory for missing names (D24)."""

from __future__ import annotations

import pytest
from fakes.upstream_json import report_json, user_json

from mappings import decode
from mappings.model import User
from mappings.profile import Site, parse_site
from mappings.study.signers import signer

USER_ID = "usr_" + "2" * 32
DIRECTORY = parse_site(
    '[mapping]\nproviders = "p.csv"\n',
    files={"providers": f"user_id,family,given,middle,suffix,degree\n{USER_ID},Johnson,Sarah,Ann,Jr.,MD\n"},
)
NAMED = ("Sarah", "Ann", "Johnson", "Jr.", "MD")


def found(site: Site, **changes: str | None) -> User:
    study = decode(None, [report_json("3")], [user_json(**changes)])
    user, issues = signer(study, study.reports[0], site)
    assert user is not None
    assert issues == ()
    return user


def name(user: User) -> tuple[str | None, ...]:
    return (user.first_name, user.middle_name, user.last_name, user.suffix1, user.suffix2)


def test_a_user_with_a_name_is_as_autoscribe_says() -> None:
    changes = {"firstName": "Sally", "lastName": "", "npiNumber": "1"}
    assert found(DIRECTORY, **changes) == found(Site(), **changes)


@pytest.mark.parametrize("blank", ["", " ", "\x00\t"])
def test_a_user_without_a_name_has_that_of_the_directory_and_keeps_the_rest(blank: str) -> None:
    changes = {"firstName": blank, "lastName": blank, "suffix1": "PhD", "npiNumber": "1", "email": "a@b.example"}
    user = found(DIRECTORY, **changes)
    assert name(user) == NAMED
    assert (user.user_id, user.npi_number, user.email, user.pointer) == (USER_ID, "1", "a@b.example", "/users/0")
    assert found(Site(), **changes).suffix1 == "PhD"


def test_somebody_whom_only_the_directory_knows_is_named_by_it() -> None:
    study = decode(None, [report_json("3")])
    user, issues = signer(study, study.reports[0], DIRECTORY)
    assert user is not None
    assert (name(user), user.user_id, user.pointer, issues) == (NAMED, USER_ID, "/reports/0/userId", ())


def test_somebody_whom_nobody_knows_is_an_issue() -> None:
    study = decode(None, [report_json("3")])
    user, (issue,) = signer(study, study.reports[0], Site())
    assert user is None
    assert (issue.code, issue.pointer) == ("user-unknown", "/reports/0/userId")
