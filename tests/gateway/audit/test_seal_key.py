"""The seal key is made once, for its owner alone, and never replaced."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.audit.seal_key import prepared, seal_key
from gateway.audit.segment import hex_of
from gateway.runtime.errors import ConfigError


def public(file):
    return hex_of(seal_key(file).public_key())


def test_the_first_start_makes_the_key_and_the_next_ones_read_it(tmp_path):
    before = os.umask(0)
    try:
        assert public(tmp_path / "seal.pem") == public(tmp_path / "seal.pem")
    finally:
        os.umask(before)
    [file] = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_processes_that_start_at_once_have_the_same_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: public(tmp_path / "seal.pem"), range(8)))
    assert len(set(made)) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["seal.pem"]


def other_key():
    key = generate_private_key(65_537, 2_048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    "text", [b"", b"CANARY", b"-----BEGIN %b-----\nCANARY\n-----END %b-----\n" % ((b"PRIVATE KEY",) * 2), other_key()]
)
def test_a_file_that_is_no_ed25519_key_is_refused_and_not_replaced_or_shown(tmp_path, text):
    file = tmp_path / "seal.pem"
    file.write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        seal_key(file)
    assert caught.value.key == "audit.seal_key"
    assert "CANARY" not in str(caught.value)
    assert file.read_bytes() == text


def test_without_its_folder_the_error_names_the_setting(tmp_path):
    with pytest.raises(ConfigError, match=r"audit\.seal_key: cannot be read or made \(No such file or directory\)"):
        seal_key(tmp_path / "none" / "seal.pem")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes folders for others")
def test_a_folder_that_a_command_of_root_makes_belongs_to_the_owner_of_the_one_above(tmp_path):
    os.chown(tmp_path, 4711, 4712)
    prepared(tmp_path / "audit", tmp_path / "seal.pem")
    made = (tmp_path / "audit").stat()
    assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)) == (4711, 4712, 0o700)
