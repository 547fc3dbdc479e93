import os
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway import settings
from gateway.runtime.errors import ConfigError
from gateway.settings import Auth, Server, Settings
from mappings.profile import DEMO_SITE_KEY

KEY = "CANARY-" + "k" * 32


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in os.environ:
        if name.upper().startswith(("GATEWAY_", "AVARA_")):
            monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "gateway.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_without_anything_the_defaults_stand_and_the_site_has_the_demo_key():
    read = settings.load()
    assert (read.settings, read.source) == (Settings(), "environment")
    assert read.settings.server.fhir_base == "http://127.0.0.1:8800/fhir"
    assert read.settings.upstream.base_url == "https://api.avarasoftware.com"
    with pytest.raises(ConfigError) as caught:
        settings.require_site_key(read)
    assert caught.value.key == "mapping.site_key"


def test_the_environment_outranks_the_vendors_names_and_those_the_file(write, monkeypatch):
    path = write(
        '[upstream]\napi_key = "file"\nbase_url = "https://file.example"\ntimeout = 5\n[webhook]\nkey = "file"\n'
    )
    monkeypatch.setenv("AVARA_API_KEY", "vendor")
    monkeypatch.setenv("AVARA_BASE_URL", "https://vendor.example/")
    monkeypatch.setenv("GATEWAY_UPSTREAM__BASE_URL", "https://ours.example/")
    monkeypatch.setenv("AVARA_WEBHOOK_KEY", "")
    read = settings.load(path).settings
    assert read.upstream.api_key == SecretStr("vendor")
    assert read.upstream.base_url == "https://ours.example"
    assert (read.upstream.timeout, read.webhook.key) == (5, SecretStr("file"))


def test_the_file_is_the_one_given_else_the_one_the_environment_names(write, monkeypatch, tmp_path):
    (tmp_path / "named.toml").write_text("[server]\nport = 1")
    monkeypatch.setenv("GATEWAY_CONFIG", str(tmp_path / "named.toml"))
    assert settings.load().settings.server.port == 1
    assert settings.load(write("[server]\nport = 2")).settings.server.port == 2
    assert settings.load().source == str(tmp_path / "named.toml")


def test_the_mapping_table_makes_the_site_and_the_environment_outranks_it(write, monkeypatch):
    path = write(f"""
        [mapping]
        site_key = "{KEY}"
        sending_facility = "FILE"
        processing_id = "T"
        [[mapping.facilities]]
        name = "City"
        time_zone = "America/New_York"
        name_order = "given_family"
        mrn_system = "urn:oid:1.2.3"
        mrn_namespace = "CITY"
    """)
    site = settings.load(path).site
    assert (site.site_key, site.sending_facility, site.processing_id) == (KEY.encode(), "FILE", "T")
    assert site.facility("City").mrn.namespace == "CITY"
    monkeypatch.setenv("GATEWAY_MAPPING__SITE_KEY", "e" * 32)
    monkeypatch.setenv("GATEWAY_MAPPING__SENDING_FACILITY", "ENVIRONMENT")
    read = settings.load(path)
    assert (read.site.site_key, read.site.sending_facility) == (b"e" * 32, "ENVIRONMENT")
    settings.require_site_key(read)


def test_the_policies_come_from_the_environment_too_and_a_list_of_keys_is_parted_by_commas(write, monkeypatch):
    path = write("[mapping]\nsend_drafts = true\naccession_keys = ['a']\non_conflict = 'send'")
    monkeypatch.setenv("GATEWAY_MAPPING__SEND_DRAFTS", "false")
    monkeypatch.setenv("GATEWAY_MAPPING__ACCESSION_KEYS", "accession no, acc")
    monkeypatch.setenv("GATEWAY_MAPPING__NUMBER_SEPARATOR", ";")
    site = settings.load(path).site
    assert (site.send_drafts, site.accession_keys, site.number_separator) == (False, ("accession no", "acc"), ";")
    assert site.on_conflict == "send"


def test_a_fault_of_a_setting_from_the_environment_names_the_variable(monkeypatch):
    monkeypatch.setenv("GATEWAY_MAPPING__PROVIDER_SYSTEM", "city")
    monkeypatch.setenv("GATEWAY_MAPPING__PROVIDER_NAMESPACE", "CITY")
    monkeypatch.setenv("GATEWAY_MAPPING__SEND_DRAFTS", "perhaps")
    assert [(problem.source, problem.key) for problem in settings.survey()[1]] == [
        ("environment", "GATEWAY_MAPPING__SEND_DRAFTS"),
        ("environment", "GATEWAY_MAPPING__PROVIDER_SYSTEM"),
    ]


def test_the_site_knows_the_address_that_clients_see(write):
    read = settings.load(write("[server]\nport = 9000"))
    assert read.site.fhir_base == read.settings.server.fhir_base == "http://127.0.0.1:9000/fhir"
    assert read.listening_on(port=9001).site.fhir_base == "http://127.0.0.1:9001/fhir"


def test_the_file_may_begin_with_a_byte_order_mark_and_end_its_lines_with_cr_lf(write):
    read = settings.load(write(b"\xef\xbb\xbf[mapping]\r\nsending_facility = 'A'\r\n"))
    assert read.site.sending_facility == "A"


def test_the_published_demo_key_is_no_site_key(write, monkeypatch):
    monkeypatch.setenv("GATEWAY_MAPPING__SITE_KEY", DEMO_SITE_KEY.decode())
    with pytest.raises(ConfigError):
        settings.require_site_key(settings.load())


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[server]\nport = 'x'", "server.port"),
        ("[server]\nport = 70000", "server.port"),
        ("[server]\nprot = 1", "server.prot"),
        ("[server]\npublic_url = 'gateway.example'", "server.public_url"),
        ("server = 1", "server"),
        ("[sever]\nport = 1", "sever"),
        ("[upstream]\nbase_url = 'ftp://x'", "upstream.base_url"),
        ("[upstream]\nbase_url = 'http://api.example'", "upstream.base_url"),
        ("[upstream]\nbase_url = 'https://u:p@api.example'", "upstream.base_url"),
        ("[upstream]\nbase_url = 'https://api.example?x=1'", "upstream.base_url"),
        ("[upstream]\nbase_url = 'https://api.example:99999'", "upstream.base_url"),
        ("[upstream]\nbase_url = 'https://[::1'", "upstream.base_url"),
        ("[upstream]\nbase_url = 'https://a b'", "upstream.base_url"),
        ("[upstream]\nproxy = 'socks5://x:1'", "upstream.proxy"),
        ("[upstream]\nproxy = 'http://x:word'", "upstream.proxy"),
        ("[upstream]\nca_file = '/nowhere.pem'", "upstream.ca_file"),
        ("[upstream]\napi_key = 'two words'", "upstream.api_key"),
        ("[upstream]\napi_key = 'clé'", "upstream.api_key"),
        ("[upstream]\ntimeout = 0", "upstream.timeout"),
        ("[pdf]\nallowed_hosts = ['https://x']", "pdf.allowed_hosts"),
        ("[pdf]\nallowed_hosts = [1]", "pdf.allowed_hosts"),
        ("[pdf]\ningest = 'both'", "pdf.ingest"),
        ("[webhook]\nkey = 'whsec_?'", "webhook.key"),
        ("[cache]\nmax_studies = 1", "cache"),
        ("[database]\nurl = 'gateway.db'", "database.url"),
        ("[database]\nurl = 'sqlite://gateway.db'", "database.url"),
        ("[database]\nurl = 'sqlite:///'", "database.url"),
        ("[database]\nurl = 'sqlite:////'", "database.url"),
        ("[database]\nurl = 'mysql://u:p@h/n'", "database.url"),
        ("[database]\nurl = 'postgresql://h'", "database.url"),
        ("[database]\nurl = 'postgresql:///n'", "database.url"),
        ("[database]\nconnections = 1", "database.connections"),
        ("[fhir]\ntime_zone = 'Mars/Olympus'", "fhir.time_zone"),
        ("[fhir]\ntime_zone = '../etc/passwd'", "fhir.time_zone"),
        ("[fhir]\nclaim_us_core = 'perhaps'", "fhir.claim_us_core"),
        ("[sync]\nopen_interval = 0", "sync.open_interval"),
        ("[sync]\npages_per_second = 51", "sync.pages_per_second"),
        ("[sync]\nreport_refetch_hours = 25", "sync.report_refetch_hours"),
        ("[sync]\nmax_index_age = 0", "sync.max_index_age"),
        ("[feed]\nlease = 0", "feed.lease"),
        ("[feed]\nalert_url = 'alerts.example'", "feed.alert_url"),
        ("[feed]\nalert_key = 'whsec_?'", "feed.alert_key"),
        ("[feed]\nalert_key = 'c2VjcmV0,b2xk'", "feed.alert_key"),
        ("[[feed.escalate]]\nminutes = 5", "feed.escalate[0].url"),
        ("[[feed.escalate]]\nminutes = 0\nurl = 'https://a.example'", "feed.escalate[0].minutes"),
        ("[[feed.escalate]]\nminutes = 5\nurl = 'a.example'", "feed.escalate[0].url"),
        ("[[feed.escalate]]\nminutes = 5\nurl = 'https://a.example'\nkey = '?'", "feed.escalate[0].key"),
        ("[[feed.escalate]]\nminutes = 5\nurl = 'https://a.example'\nurls = 1", "feed.escalate[0].urls"),
        ("[[feed.escalate]]\nminutes = 5\nurl = 'https://a.example'\n" * 2, "feed.escalate"),
        ("[log]\nlevel = 'loud'", "log.level"),
        ("[mapping]\nsite_key = 'short'", "mapping.site_key"),
        ("[mapping]\nprocessing_id = 'X'", "mapping.processing_id"),
        ("[mapping]\nmrn = 'X'", "mapping.mrn"),
        ("mapping = 1", "mapping"),
        ("[[mapping.facilities]]\nname = 'A'\ntime_zone = 'Mars'", "mapping.facilities[0].time_zone"),
        ("[[mapping.facilities]]\nname = 'A'\nnam = 'A'", "mapping.facilities[0].nam"),
        ("[server", "file"),
        ("x = " + "9" * 5000, "file"),
        (b"x = '\xff'", "file"),
    ],
)
def test_a_wrong_setting_is_named_with_file_key_and_remedy(text, key, write):
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        settings.load(path)
    assert (caught.value.source, caught.value.key) == (str(path), key)
    assert caught.value.problem
    assert caught.value.cure
    assert [problem.key for problem in settings.survey(path)[1]] == [key]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for path in (tmp_path / "nowhere.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read") as caught:
            settings.load(path)
        assert caught.value.source == str(path)


def test_all_problems_are_found_at_once_and_those_of_the_environment_named_by_their_variable(write, monkeypatch):
    path = write("[server]\nport = 'x'\n[log]\nlevel = 'loud'\n[[mapping.facilities]]\nname = ''")
    monkeypatch.setenv("AVARA_API_KEY", "two words")
    monkeypatch.setenv("GATEWAY_LOG__LEVEL", "silent")
    monkeypatch.setenv("GATEWAY_SREVER__PORT", "1")
    assert [(problem.source, problem.key) for problem in settings.survey(path)[1]] == [
        ("environment", "GATEWAY_SREVER__PORT"),
        ("environment", "AVARA_API_KEY"),
        (str(path), "server.port"),
        ("environment", "GATEWAY_LOG__LEVEL"),
        (str(path), "mapping.facilities[0].name"),
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("GATEWAY_SREVER__PORT", "GATEWAY_SERVER__PORT"),
        ("GATEWAY_X__Y", "docs/reference/settings.md"),
        ("GATEWAY_MAPPING__FACILITIES", ""),
        ("GATEWAY_SERVER__PORT__X", "GATEWAY_SERVER__PORT"),
        ("GATEWAY_SERVER", ""),
        ("gateway_server", ""),
    ],
)
def test_a_variable_that_sets_nothing_is_not_passed_over(name, hint, monkeypatch):
    monkeypatch.setenv(name, "[]")
    (problem,) = settings.survey()[1]
    assert (problem.source, problem.key) == ("environment", name)
    assert hint in problem.cure


def test_variables_a_container_platform_injects_are_not_ours(monkeypatch):
    monkeypatch.setenv("GATEWAY_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("GATEWAY_PORT_8800_TCP", "tcp://10.0.0.1:8800")
    assert settings.survey()[1] == []


def test_a_list_in_the_environment_is_separated_by_commas(monkeypatch):
    monkeypatch.setenv("GATEWAY_PDF__ALLOWED_HOSTS", "A.example, b.example:9000")
    assert settings.load().settings.pdf.allowed_hosts == ("a.example", "b.example:9000")


@pytest.mark.full
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), min_size=9))
def test_no_message_shows_a_secret(secret):
    kinds = {"secret", "whole number", "number", "path", "text"}
    values = {row.env: f"http://{KEY}:{secret}\x01" for row in settings.rows() if row.type in kinds}
    with patch.dict(os.environ, values):
        found = settings.survey()[1]
    assert {"AVARA_API_KEY", "AVARA_BASE_URL", "GATEWAY_UPSTREAM__PROXY"} <= {problem.key for problem in found}
    assert not any("CANARY" in f"{problem} {problem!r} {vars(problem)}" for problem in found)


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///gateway.db", Path("gateway.db")),
        ("sqlite:////var/lib/gateway.db", Path("/var/lib/gateway.db")),
        ("sqlite:///C:/data/gateway.db", Path("C:/data/gateway.db")),
        ("postgresql://u:p@h:5432/name", None),
        ("postgres://h/name?sslmode=require", None),
    ],
)
def test_a_database_is_a_file_or_a_server(url, file, monkeypatch):
    monkeypatch.setenv("GATEWAY_DATABASE_URL", url)
    read = settings.load().settings.database
    assert (read.url.get_secret_value(), read.file) == (url, file)
    assert url not in repr(read)


def test_no_secret_is_in_the_repr_of_what_was_loaded(write):
    path = write(f'[upstream]\napi_key = "{KEY}"\nproxy = "http://{KEY}@h:1"\n[mapping]\nsite_key = "{KEY}"')
    assert "CANARY" not in repr(settings.load(path))


def test_an_api_key_loses_the_white_space_around_it_and_a_blank_one_is_none():
    assert settings.Upstream(api_key=SecretStr(" key\n")).api_key == SecretStr("key")
    assert settings.Upstream(api_key=SecretStr(" \n")).api_key is None


def test_the_command_line_outranks_host_and_port(write):
    read = settings.load(write("[server]\nport = 1\nhost = '::1'"))
    assert read.listening_on(port=9000).settings.server.fhir_base == "http://[::1]:9000/fhir"
    assert read.listening_on(host="localhost").settings.server.fhir_base == "http://localhost:1/fhir"
    assert read.listening_on() == read
    with pytest.raises(ConfigError) as caught:
        read.listening_on(port=70000)
    assert (caught.value.source, caught.value.key) == ("command line", "server.port")


@pytest.mark.parametrize("wrong", ["proxy.example", "0.0.0.0/0", "::/0", "10.1.2.3/8"])
def test_a_trusted_proxy_is_an_address_or_a_network_of_some(wrong, write):
    [fault] = settings.survey(write(f'[server]\ntrusted_proxies = ["{wrong}"]\n'))[1]
    assert fault.key == "server.trusted_proxies"


def test_with_a_certificate_the_fhir_base_says_https(write):
    read = settings.load(write('[server]\ntls_certificate = "cert.pem"\n'))
    assert (read.settings.server.fhir_base, read.site.fhir_base) == ("https://127.0.0.1:8800/fhir",) * 2


def test_the_public_url_is_the_fhir_base(write):
    read = settings.load(write("[server]\npublic_url = 'https://fhir.example/r4/'"))
    assert read.settings.server.fhir_base == "https://fhir.example/r4"


def listening(host, mode, **server):
    made = settings.load(None)
    return replace(
        made, settings=made.settings.model_copy(update={"server": Server(host=host, **server), "auth": Auth(mode=mode)})
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST"])
@pytest.mark.parametrize("mode", ["none", "builtin"])
def test_loopback_is_listened_on(host, mode):
    settings.require_guarded(listening(host, mode))


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "::ffff:127.0.0.1", "gateway.example", "127.1", "localhost.a", "128.0.0.1"]
)
@pytest.mark.parametrize(
    ("mode", "problem"), [("none", "has to log in"), (None, "has to log in"), ("builtin", "without TLS")]
)
def test_an_address_others_reach_needs_login_and_tls(host, mode, problem):
    with pytest.raises(ConfigError) as caught:
        settings.require_guarded(listening(host, mode))
    assert caught.value.key == "server.host" and problem in caught.value.problem


@pytest.mark.parametrize("guard", [{"tls_certificate": Path("both.pem")}, {"trusted_proxies": ("10.0.0.9",)}])
def test_with_login_and_tls_the_network_may_reach_it(guard):
    settings.require_guarded(listening("0.0.0.0", "builtin", **guard))


def test_every_field_is_a_row_with_type_and_description_and_its_variable_sets_it(monkeypatch):
    rows = settings.rows()
    assert {row.key for row in rows} == {
        f"{section}.{name}"
        for section, field in Settings.model_fields.items()
        if section not in settings.TABLES
        for name in type(field.default).model_fields
    }
    assert all(row.type and row.description.endswith(".") for row in rows)
    assert {row.key for row in rows if not row.env} == settings.FILE_ONLY
    by_key = {row.key: row for row in rows}
    assert (by_key["upstream.api_key"].env, by_key["upstream.api_key"].default) == ("AVARA_API_KEY", "")
    assert (by_key["server.port"].env, by_key["server.port"].default) == ("GATEWAY_SERVER__PORT", "8800")
    assert (by_key["log.format"].type, by_key["pdf.allowed_hosts"].type) == ("json, console", "list of text")


# Settings that a setting cannot be without
BESIDE = {
    **{key: {"GATEWAY_SERVER__TLS_CERTIFICATE": "cert.pem"} for key in ("server.tls_key", "server.tls_client_ca")},
    "feed.mail_host": dict.fromkeys(("GATEWAY_FEED__MAIL_FROM", "GATEWAY_FEED__MAIL_TO"), "a@b.example"),
}


@pytest.mark.parametrize("row", [row for row in settings.rows() if row.env], ids=lambda row: row.env)
def test_the_variable_of_a_row_sets_its_field(row, monkeypatch, tmp_path):
    (tmp_path / "ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
    examples = {
        "true or false": "true",
        "whole number": "9",
        "number": "9",
        "P, T, D": "T",
        "builtin, external, none": "builtin",
        "hold, withdraw": "withdraw",
        "send, hold": "send",
        "debug, info, warning, error": "error",
        "json, console": "console",
        "atna, balp": "balp",
        "fetch, link": "link",
        "secret": "http://h:1" + "x" * 32,
        "path": str(tmp_path / "ca.pem"),
        "list of text": "a.example",
        "text": "https://a.example",
    }
    (tmp_path / "procedures.csv").write_text("procedure,code,system\n")
    (tmp_path / "providers.csv").write_text("name,family\n")
    special = {
        "upstream.max_response_bytes": "2048",
        "audit.retention_days": "60",
        "upstream.max_pdf_bytes": "2048",
        "database.url": "postgresql://u:p@h/name",
        "fhir.time_zone": "America/New_York",
        "server.trusted_proxies": "10.1.2.3, 10.1.2.0/24",
        "server.management_listen": "127.0.0.1:9464",
        "audit.syslog": "siem.example:6514",
        "server.cors_origins": "https://a.example",
        "webhook.key": "whsec_c2VjcmV0Cg==",
        "feed.alert_key": "whsec_c2VjcmV0Cg==",
        "feed.alert_url": "https://a.example",
        "feed.heartbeat_url": "https://a.example",
        "feed.heartbeat_seconds": "90",
        "feed.mail_host": "smtp.example",
        **dict.fromkeys(("feed.mail_from", "feed.mail_to"), "a@b.example"),
        "mapping.starter": "false",
        "mapping.procedures": str(tmp_path / "procedures.csv"),
        "mapping.procedure_coding_system": "99CITY",
        "mapping.providers": str(tmp_path / "providers.csv"),
        **{f"mapping.{kind}_namespace": "CITY" for kind in ("provider", "accession", "placer")},
        **{f"mapping.vista_{kind}_namespace": "CITY" for kind in ("dfn", "ssn")},
        "mapping.vista_station": "500",
        "console.scope": "openid groups",
    }
    facility = '[[mapping.facilities]]\nname = "City"\nmrn_system = "urn:oid:1.2"\nmrn_namespace = "CITY"\n'
    (tmp_path / "gateway.toml").write_text(facility)
    kind, _, end = row.key.removeprefix("mapping.").partition("_")
    if kind in ("provider", "accession", "placer") and end in ("system", "namespace"):
        other, value = ("NAMESPACE", "CITY") if end == "system" else ("SYSTEM", "urn:oid:1.2")
        monkeypatch.setenv(f"GATEWAY_MAPPING__{kind.upper()}_{other}", value)
    if kind == "vista":  # its numbers are those of a facility, its keys go together
        monkeypatch.setenv("GATEWAY_CONFIG", str(tmp_path / "gateway.toml"))
        for other in ("exam", "case") if end.endswith("_keys") else ():
            monkeypatch.setenv(f"GATEWAY_MAPPING__VISTA_{other.upper()}_KEYS", "a.example")
    monkeypatch.setenv(row.env, special.get(row.key, examples[row.type]))
    section, name = row.key.split(".")
    if row.key == "mapping.default_facility":
        numbers = "mrn_system = 'urn:oid:1.2'\nmrn_namespace = 'CITY'\n"
        (tmp_path / "gateway.toml").write_text(f"[[mapping.facilities]]\nname = '{examples['text']}'\n{numbers}")
        monkeypatch.setenv("GATEWAY_CONFIG", str(tmp_path / "gateway.toml"))
    for other, value in BESIDE.get(row.key, {}).items():
        monkeypatch.setenv(other, value)
    if row.key.startswith("audit.syslog_"):
        monkeypatch.setenv("GATEWAY_AUDIT__SYSLOG", "siem.example:6514")
        monkeypatch.setenv("GATEWAY_AUDIT__SYSLOG_CLIENT_CERT", "cert.pem")
    if row.key == "upstream.proxy":
        monkeypatch.setenv(row.env, "http://h:1")
    if row.key.startswith("console.client_"):
        monkeypatch.setenv("GATEWAY_CONSOLE__ISSUER", "https://a.example")
    before = type(Settings.model_fields[section].default).model_fields[name].default
    assert getattr(getattr(settings.load().settings, section), name) != before


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("[mapping]\nsending_facility = MERCY", "in quotes"),
        ('[mapping]\nsending_facility = "A"\n[mapping]\nprocessing_id = "T"', "each [table] once"),
        ('[mapping]\nprocedures = "C:\\temp\\p.csv"', "single quotes"),
        ("[mapping]\nprocessing_id", "toml.io"),
    ],
)
def test_text_that_is_no_toml_is_met_with_a_cure_and_never_shown(write, text, remedy):
    _, (found,) = settings.survey(write(text))
    assert remedy in str(found)
    assert "MERCY" not in str(found)


def test_a_section_that_is_spelled_wrong_is_met_with_the_right_one(write):
    _, (found,) = settings.survey(write("[maping]\nprocessing_id = 'T'"))
    assert "maping: no such setting. Did you mean mapping? Else take it out: " in str(found)


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("AVARA_BASE_URL", "https://api.avarasoftware.com/v1/", "/v1 at its end"),
        ("GATEWAY_MAPPING__ACCESSION_KEYS", '["accession", "order"]', "a list in brackets"),
    ],
)
def test_a_variable_that_looks_right_and_is_not_is_refused(monkeypatch, variable, value, problem):
    monkeypatch.setenv(variable, value)
    _, (found,) = settings.survey()
    assert (found.key, problem in found.problem) == (variable, True)


@pytest.mark.parametrize(
    ("written", "keys"),
    [
        ("whsec_c2VjcmV0Cg==", (b"secret\n",)),
        ("c2VjcmV0Cg", (b"secret\n",)),
        ("whsec_c2VjcmV0Cg==,whsec_b2xk", (b"secret\n", b"old")),
        (" whsec_c2VjcmV0Cg== \n whsec_b2xk ,", (b"secret\n", b"old")),
        (" , ", ()),
    ],
)
def test_several_webhook_secrets_stand_side_by_side_while_one_takes_the_place_of_the_other(monkeypatch, written, keys):
    monkeypatch.setenv("AVARA_WEBHOOK_KEY", written)
    read = settings.load().settings
    assert read.webhook.secrets == keys
    assert (read.webhook.key is None) == (not keys)
    assert "b2xk" not in repr(read)


@pytest.mark.parametrize("wrong", ["whsec_", "whsec_a", "not base64!", "whsec_b2xk,whsec_-_-_", "whsec_b2xk whsec_é"])
def test_a_webhook_secret_that_is_not_base64_is_refused_at_once_and_not_shown(monkeypatch, wrong):
    monkeypatch.setenv("AVARA_WEBHOOK_KEY", wrong)
    with pytest.raises(ConfigError) as caught:
        settings.load()
    assert (caught.value.key, caught.value.problem) == ("AVARA_WEBHOOK_KEY", "holds a secret that is not base64")
    assert not any(part in str(caught.value) for part in ("b2xk", "-_-", "base64!", "é"))


def test_without_a_webhook_secret_there_is_none():
    assert settings.load().settings.webhook.secrets == ()
