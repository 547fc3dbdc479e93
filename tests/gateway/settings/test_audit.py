"""The audit cannot be switched off where clients authenticate, and its seal key lies outside its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.settings import Audit, Configuration, Settings
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


@pytest.mark.parametrize("key", ["there/seal.pem", "there/deeper/seal.pem", "./there/seal.pem"])
def test_a_seal_key_inside_the_folder_that_it_protects_is_refused(key):
    with pytest.raises(ValidationError, match=r"inside audit\.dir"):
        Audit(dir="there", seal_key=key)
    assert Audit(dir="there", seal_key="therefore/seal.pem").seal_key is not None
