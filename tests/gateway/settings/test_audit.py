"""The audit cannot be switched off where clients authenticate, and its seal key lies outside its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.runtime.errors import ConfigError
from gateway.settings import Audit, Configuration, Settings, require_audit_place
from mappings.profile import Site


def configured(**groups):
    return Configuration(Settings(database={"url": "sqlite:///state/gateway.db"}, **groups), Site(), "test")


def test_where_clients_authenticate_there_is_an_audit_beside_the_feed_journal():
    assert configured(auth={"mode": "builtin"}).audit_dir == Path("state/audit")
    assert configured(auth={"mode": "builtin"}).audit_seal_key == Path("state/audit-seal.pem")
    assert configured(auth={"mode": "builtin"}, audit={"dir": "there"}).audit_dir == Path("there")


@pytest.mark.parametrize("auth", [{}, {"mode": "none"}])
def test_where_nobody_authenticates_there_is_an_audit_only_if_its_folder_is_named(auth):
    assert configured(auth=auth).audit_dir is None
    assert configured(auth=auth, audit={"dir": "there"}).audit_dir == Path("there")


def on_postgresql(**groups):
    return Configuration(Settings(database={"url": "postgresql://db/gateway"}, **groups), Site(), "test")


@pytest.mark.parametrize(
    "groups",
    [
        {"auth": {"mode": "builtin"}},
        {"auth": {"mode": "external"}, "audit": {"dir": "/there"}},
        {"auth": {"mode": "builtin"}, "audit": {"seal_key": "/seal.pem"}},
        {"audit": {"dir": "/there"}},
    ],
)
def test_on_postgresql_nothing_of_the_audit_lies_in_the_working_directory(groups):
    with pytest.raises(ConfigError) as caught:
        require_audit_place(on_postgresql(**groups))
    assert caught.value.key == "feed.state_dir"
    assert "audit.dir and audit.seal_key" in caught.value.cure
    require_audit_place(on_postgresql(**groups, feed={"state_dir": "/state"}))


def test_where_the_audit_has_its_places_the_start_is_not_refused():
    login = {"mode": "builtin"}
    require_audit_place(on_postgresql(auth=login, audit={"dir": "/there", "seal_key": "/seal.pem"}))
    require_audit_place(on_postgresql(auth={"mode": "none"}))
    require_audit_place(configured(auth=login))


@pytest.mark.parametrize("key", ["there/seal.pem", "there/deeper/seal.pem", "./there/seal.pem"])
def test_a_seal_key_inside_the_folder_that_it_protects_is_refused(key):
    with pytest.raises(ValidationError, match=r"inside audit\.dir"):
        Audit(dir="there", seal_key=key)
    assert Audit(dir="there", seal_key="therefore/seal.pem").seal_key is not None
