"""Clients are registered by command: what cannot be right is refused, and every act stands in the audit.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html
"""

from __future__ import annotations

import json
import logging
import os
import re

import pytest
import structlog
from fakes.assertions import jwks, public_jwk
from fakes.commanded import Site
from fakes.gateway_process import environment, site_file
from fakes.planted import WORD
from fakes.ports import free_port

SCOPES = ("--scope", "system/DiagnosticReport.rs", "--scope", "system/Patient.read")
AUDIT = "SELECT verb, argument, reason FROM audit ORDER BY number"


@pytest.fixture
def site(tmp_path, capsys):
    """Return commands with a database and no AutoScribe, with key files beside them."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level
    env = environment("http://127.0.0.1:1", f"sqlite:///{tmp_path / 'gateway.db'}", site_file(tmp_path))
    env["GATEWAY_AUTH__MODE"] = "builtin"
    (tmp_path / "keys.json").write_bytes(jwks("RS384 a", "ES384 a"))
    (tmp_path / "new.json").write_bytes(jwks("RS384 b"))
    own = {name: value for name, value in env.items() if os.environ.get(name) != value}
    yield Site(None, own, tmp_path, capsys)
    structlog.configure(**before)
    root.handlers = handlers
    root.setLevel(level)


async def added(site, *more, name="City EHR", keys="keys.json"):
    """Register a client; return its id."""
    code, out, err = await site.run("clients", "add", name, *SCOPES, "--jwks", str(site.folder / keys), *more)
    assert code == 0, err
    return re.search(r"client-[0-9a-f]{32}", out)[0]


async def listed(site):
    code, out, _ = await site.run("clients", "list", "--json")
    assert code == 0
    return json.loads(out)


async def test_a_client_is_registered_and_told_its_id_and_the_token_url(site):
    command = ("clients", "add", "City EHR", *SCOPES, "--jwks", str(site.folder / "keys.json"))
    code, out, err = await site.run(*command, "--expires", "2999-01-01", "--reason", "contract 7")
    assert (code, "note:" in err) == (0, False)
    lines = dict(line.split(": ", 1) for line in out.splitlines())
    assert lines["token URL"] == "http://127.0.0.1:8800/auth/token"
    assert lines["scopes"] == "system/DiagnosticReport.rs system/Patient.rs"
    [one] = await listed(site)
    assert (one["client_id"], one["name"], one["state"]) == (lines["client id"], "City EHR", "active")
    assert one["expires"][:4] == "2999"
    assert one["keys"] == [{"kids": ["ES384 a", "RS384 a"], "url": None, "until": None}]
    assert await site.query(AUDIT) == [("client-add", lines["client id"], "contract 7")]


EXTERNAL = ("clients", "add", "City EHR", "--external", "city-ehr", "--scope", "user/Patient.rs patient/*.rs")


async def test_a_client_of_the_external_issuer_is_registered_by_its_id_there_and_without_keys(site):
    code, out, err = await site.run(*EXTERNAL, GATEWAY_AUTH__MODE="external")
    assert (code, "note:" in err) == (0, False)
    assert out.splitlines() == ["client id: city-ehr", "scopes: patient/*.rs user/Patient.rs", "facilities: all"]
    [one] = await listed(site)
    assert (one["client_id"], one["external"], one["keys"], one["state"]) == ("city-ehr", True, [], "active")
    assert "  external" in (await site.run("clients", "list"))[1]
    assert await site.query(AUDIT) == [("client-add", "city-ehr", "")]
    code, _, err = await site.run("clients", "rotate", "city-ehr", "--jwks", str(site.folder / "keys.json"))
    assert (code, "the client is external: it has no keys here" in err) == (2, True)
    assert (await site.run("clients", "disable", "city-ehr", "--reason", "lost"))[0] == 0
    assert (await listed(site))[0]["state"] == "disabled"


async def test_an_external_client_may_have_scopes_of_users_and_patients_of_some_facilities(site):
    code, out, _ = await site.run(*EXTERNAL, "--facility", "City Hospital", GATEWAY_AUTH__MODE="external")
    assert (code, "facilities: city hospital" in out) == (0, True)
    [one] = await listed(site)
    assert one["scopes"] == "patient/*.rs user/Patient.rs"


async def test_an_external_client_says_that_the_mode_is_another(site):
    code, out, err = await site.run(*EXTERNAL, "--json")
    assert (code, "token_url" in json.loads(out)) == (0, False)
    assert 'note: auth.mode is not "external": this client cannot log in' in err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--external", "city ehr"), "--external: not 1 to 256 ASCII characters without spaces"),
        (("--external", ""), "--external: not 1 to 256 ASCII characters without spaces"),
        (("--jwks-url", "https://jwks.example/"), "--external: with --jwks or --jwks-url"),
        (("--scope", "user/Condition.r"), "--scope: no such type is served"),
        (("--scope", "patient/DiagnosticReport.$addendum"), "--scope: it grants nothing to a client with limits"),
        (("--scope", "patient/Practitioner.rs?_lastUpdated=gt2026"), "tells of other facilities or patients"),
    ],
)
async def test_an_external_client_that_cannot_be_right_is_refused(site, more, said):
    code, _, err = await site.run(*EXTERNAL, *more, GATEWAY_AUTH__MODE="external")
    assert (code, said in err) == (2, True), err
    assert await listed(site) == []


async def test_an_external_client_may_be_limited_to_facilities_and_by_search_parameters(site):
    scope = "patient/DiagnosticReport.rs?status=final"
    limited = ("--facility", "City", "--external", "city-ehr", "--scope", scope)
    code, _, err = await site.run("clients", "add", "City EHR", *limited, GATEWAY_AUTH__MODE="external")
    assert code == 0, err
    [one] = await listed(site)
    assert (one["scopes"], one["facilities"]) == (scope, ["city"])
    wider = ("clients", "add", "Portal", "--external", "portal", "--scope", "patient/*.rs user/AuditEvent.rs")
    code, _, err = await site.run(*wider, GATEWAY_AUTH__MODE="external")
    assert (code, "AuditEvent tells of all patients" in err) == (2, True)


async def test_one_id_at_the_issuer_is_registered_once(site):
    assert (await site.run(*EXTERNAL))[0] == 0
    code, _, err = await site.run(*EXTERNAL[:2], "Another", *EXTERNAL[3:])
    assert (code, "another client has this name, or this id at the issuer" in err) == (2, True)


async def test_the_answer_as_json_has_the_same(site):
    command = ("clients", "add", "City EHR", *SCOPES, "--jwks", str(site.folder / "keys.json"), "--json")
    code, out, _ = await site.run(*command, GATEWAY_AUTH__ISSUER="https://gateway.example")
    said = json.loads(out)
    assert code == 0
    assert said["token_url"] == "https://gateway.example/auth/token"
    assert said | {"token_url": ""} == {**(await listed(site))[0], "token_url": ""} | {"keys": said["keys"]}


async def test_a_client_is_limited_to_search_parameters_and_to_facilities_named_in_any_case(site):
    scope = "system/Observation.rs?category=imaging"
    command = ("clients", "add", "City EHR", "--scope", scope, "--jwks", str(site.folder / "keys.json"))
    code, out, err = await site.run(*command, "--facility", "City  HOSPITAL", "--facility", "city hospital")
    assert code == 0
    assert "facilities: city hospital\n" in out
    assert "note: no facility of the settings or of the stored reports is called 'city hospital'" in err
    assert "'sandbox general hospital'" not in (await site.run(*command, "--facility", "Sandbox General Hospital"))[2]
    [one] = await listed(site)
    assert (one["scopes"], one["facilities"]) == (scope, ["city hospital"])
    _, out, _ = await site.run("clients", "list")
    assert "  facilities: city hospital\n" in out


async def test_without_the_mode_the_command_works_and_says_what_is_missing(site):
    command = ("clients", "add", "City EHR", *SCOPES, "--jwks", str(site.folder / "keys.json"))
    code, _, err = await site.run(*command, GATEWAY_AUTH__MODE="")
    assert code == 0
    assert 'note: auth.mode is not "builtin"' in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--scope", "openid"), "--scope: not of the form system/Type.cruds"),
        (("--scope", "user/Patient.rs"), "--scope: user/ and patient/ scopes are given by an external issuer alone"),
        (
            ("--scope", "system/Condition.rs"),
            "--scope: no such type is served: Condition. Types are *, AuditEvent, ",
        ),
        (("--scope", "system/Patient.rs?race=any"), "--scope: race: Patient has no such search parameter here"),
        (
            ("--scope", "system/DiagnosticReport.rs?patient.identifier=1"),
            "--scope: patient.identifier: it leads to other resources",
        ),
        (("--scope", "system/*.rs?status=final"), "--scope: search parameters need one resource type"),
        (
            ("--scope", "system/Patient.rs?gender=male", "--facility", "City"),
            "--scope: such a search parameter tells of other facilities",
        ),
        (("--scope", "system/AuditEvent.rs", "--facility", "City"), "--scope: AuditEvent tells of all patients"),
        (
            ("--scope", "system/AuditEvent.rs", "--scope", "system/ImagingStudy.rs?status=available"),
            "--scope: AuditEvent tells of all patients",
        ),
        (("--facility", " "), "--facility: the name is blank"),
        (("--expires", "2020-01-01"), "--expires: not in the future"),
        (("--jwks-url", "https://jwks.example/"), "--jwks: not exactly one of --jwks and --jwks-url"),
    ],
)
async def test_what_cannot_be_right_is_refused_with_a_remedy_and_nothing_is_registered(site, arguments, said):
    command = ("clients", "add", "City EHR", *SCOPES, "--jwks", str(site.folder / "keys.json"))
    code, _, err = await site.run(*command, *arguments)
    assert code == 2
    assert said in err
    assert await listed(site) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "--jwks: cannot be read (No such file or directory)"),
        (b"{}", "--jwks: `keys` is no list"),
        (json.dumps({"keys": [public_jwk("RS384 a", d="AQAB")]}).encode(), "a private or secret key"),
        (json.dumps({"keys": [public_jwk("RS384 a"), public_jwk("ES256 a")]}).encode(), "keys[1]: neither an RSA key"),
        (b" " * 70_000, "larger than 65536 bytes"),
    ],
)
async def test_a_key_file_that_cannot_be_used_whole_is_refused(site, content, said):
    if content is not None:
        (site.folder / "wrong.json").write_bytes(content)
    code, _, err = await site.run("clients", "add", "City EHR", *SCOPES, "--jwks", str(site.folder / "wrong.json"))
    assert code == 2
    assert said in err


@pytest.mark.parametrize(
    "content",
    [
        f"{WORD}",
        json.dumps({"keys": WORD}),
        json.dumps({"keys": [WORD]}),
        json.dumps({"keys": [{WORD: WORD}]}),
        *(json.dumps({"keys": [public_jwk("RS384 a", **{name: WORD})]}) for name in ("kty", "alg", "use", "n", "d")),
    ],
)
async def test_no_error_repeats_what_a_key_file_says(site, content):
    (site.folder / "wrong.json").write_text(content)
    code, out, err = await site.run("clients", "add", "City EHR", *SCOPES, "--jwks", str(site.folder / "wrong.json"))
    assert code == 2
    assert WORD not in out + err


@pytest.mark.parametrize(
    "scope",
    [
        f"system/DiagnosticReport.rs?identifier={WORD}&colour=red",
        f"system/Patient.rs?gender={WORD}&name={WORD}&race=1",
        f"system/Patient.{WORD}",
        WORD,
    ],
)
async def test_no_error_repeats_the_values_of_a_scope(site, scope):
    command = ("clients", "add", "City EHR", "--scope", scope, "--jwks", str(site.folder / "keys.json"))
    code, out, err = await site.run(*command)
    assert code == 2
    assert WORD not in out + err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://jwks.example/", "--jwks-url: not an https URL"),
        ("https://127.0.0.1/jwks", "--jwks-url: leads to a private or loopback address. Set auth.allow_private_jwks"),
    ],
)
async def test_a_key_url_that_no_service_would_follow_is_refused(site, url, said):
    code, _, err = await site.run("clients", "add", "City EHR", *SCOPES, "--jwks-url", url)
    assert code == 2
    assert said in err
    assert await listed(site) == []


async def test_a_key_url_that_does_not_answer_now_is_taken_with_a_note(site):
    url = f"https://127.0.0.1:{free_port()}/jwks"
    command = ("clients", "add", "City EHR", *SCOPES, "--jwks-url", url)
    code, _, err = await site.run(*command, GATEWAY_AUTH__ALLOW_PRIVATE_JWKS="true")
    assert code == 0
    assert "note: no keys could be fetched from the URL now (no-answer)" in err
    assert (await listed(site))[0]["keys"] == [{"kids": [], "url": url, "until": None}]
    assert f"  keys: {url}\n" in (await site.run("clients", "list"))[1]


@pytest.mark.parametrize("name", ["", " x", "x" * 101, "two\nlines"])
async def test_a_name_is_one_line_and_of_one_client(site, name):
    await added(site)
    command = ("clients", "add", name, *SCOPES, "--jwks", str(site.folder / "keys.json"))
    assert (await site.run(*command))[0] == 2
    command = ("clients", "add", "City EHR", *SCOPES, "--jwks", str(site.folder / "keys.json"))
    code, _, err = await site.run(*command)
    assert (code, "NAME: another client has this name" in err) == (2, True)


async def test_a_client_is_disabled_and_enabled(site):
    client = await added(site)
    for act, state, again in (
        ("disable", "disabled", "was disabled already"),
        ("enable", "active", "was not disabled"),
    ):
        code, out, _ = await site.run("clients", act, client, "--reason", "key stolen")
        assert (code, out.startswith(f"{client} is {act}d")) == (0, True)
        assert [one["state"] for one in await listed(site)] == [state]
        assert again in (await site.run("clients", act, client, "--reason", "again"))[1]
    acts = [("client-disable", client, "key stolen"), ("client-enable", client, "key stolen")]
    assert (await site.query(AUDIT))[1:] == acts


async def test_keys_are_rotated_with_an_overlap_that_ends_by_command(site):
    client, new = await added(site), str(site.folder / "new.json")
    code, out, _ = await site.run("clients", "rotate", client, "--jwks", new, "--reason", "yearly")
    assert (code, out) == (0, f"{client} has new keys; the older ones end with `clients rotate CLIENT --finish`\n")
    assert [one["kids"] for one in (await listed(site))[0]["keys"]] == [["ES384 a", "RS384 a"], ["RS384 b"]]
    code, _, err = await site.run("clients", "rotate", client, "--jwks", new)
    assert (code, "the client has two key sets already. Run `clients rotate CLIENT --finish` first" in err) == (2, True)
    assert (await site.run("clients", "rotate", client, "--finish", "--jwks", new))[0] == 2
    assert (await site.run("clients", "rotate", client, "--finish"))[1] == f"{client} has its newer keys alone\n"
    assert [one["kids"] for one in (await listed(site))[0]["keys"]] == [["RS384 b"]]
    assert (await site.run("clients", "rotate", client, "--finish"))[1] == f"{client} had one key set already\n"


async def test_keys_are_rotated_with_an_overlap_that_ends_by_itself(site):
    client, new = await added(site), str(site.folder / "new.json")
    code, out, _ = await site.run("clients", "rotate", client, "--jwks", new, "--until", "2999-01-01")
    assert (code, "the older ones end at 2999-01-01" in out) == (0, True)
    code, out, _ = await site.run("clients", "list")
    assert re.search(r"  keys: ES384 a, RS384 a, until 2999-01-01T\S+\n  keys: RS384 b\n1 clients\n$", out)
    assert (await site.run("clients", "rotate", client, "--jwks", new, "--until", "2020-01-01"))[0] == 2


@pytest.mark.parametrize(
    "command",
    [("disable", "--reason", "x"), ("enable",), ("rotate", "--finish"), ("rotate", "--jwks", "new.json")],
)
async def test_a_client_that_is_not_there_is_named(site, command, monkeypatch):
    monkeypatch.chdir(site.folder)
    code, _, err = await site.run("clients", command[0], "client-0", *command[1:])
    assert (code, "client-0: no client has this id. `clients list` shows them." in err) == (2, True)
    assert await site.query(AUDIT) == []
