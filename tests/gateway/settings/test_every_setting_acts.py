"""Every setting has an effect: a changed value changes output, an object's state, or accepted input.

`TURNED` has a row for each setting of the model; a setting without one fails. A row says the value, as TOML has it, and
what changes: a function of the configuration, or the test that shows it. A setting that nothing reads fails, too.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import trustme
from fakes.turned import (
    FACILITY,
    GIVEN,
    HTTP,
    Turned,
    authorities,
    base,
    beaten,
    breaker_limits,
    ends,
    engine,
    has_words,
    held,
    hooked,
    ignored,
    key_password,
    mailed,
    mapped,
    meanings,
    old,
    pace,
    proxies,
    routes,
    sources,
    unasked,
    wants_pdf,
)

from gateway.auth.external import token_rules
from gateway.auth.provider import provider_rules
from gateway.ingest.assembly import order_days
from gateway.routing import Basic, Bearer, Destination, Ehr, Folder, Http, Mllp, Retry, Routes
from gateway.runtime.errors import ConfigError
from gateway.runtime.tls import TlsSettings
from gateway.settings import TABLES, Configuration, survey
from gateway.settings.model import fields as settings_fields

ROOT = Path(__file__).parents[3]
PAGER = '"https://pager.example/"'
EXTERNAL = {"auth.issuer": '"https://login.example"', "auth.audience": '"https://other.example"'}
PROVIDER = {
    "console.issuer": '"https://login.example"',
    "console.client_id": '"console"',
    "console.client_secret": '"secret"',
    "console.groups": '{ staff = "admin" }',
}
MAIL = {
    "feed.mail_host": '"smtp.example"',
    "feed.mail_from": '"gateway@hospital.example"',
    "feed.mail_to": '["it@hospital.example"]',
    "feed.mail_user": '"gateway"',
    "feed.mail_password": '"secret"',
}
EXAM = {"mapping.vista_exam_keys": '["exam"]', "mapping.vista_case_keys": '["case"]'}
EHR = {
    "destination.ehr_url": '"https://ehr.example/fhir"',
    "destination.ehr_token_url": '"https://ehr.example/token"',
    "destination.ehr_client_id": '"gateway"',
    "destination.ehr_key_file": '"ehr.pem"',
}
OF_SEVERAL = {"source.facility": None, "source.authorities": '[{ namespace = "VN", system = "" }]'}
TURNED = {
    "upstream.api_key": Turned('"other"', held("_api._headers.raw")),
    "upstream.base_url": Turned('"https://other.example"', held("_settings.base_url")),
    "upstream.timeout": Turned(
        "1", "upstream/test_failures.py::test_a_whole_answer_has_a_deadline_however_steadily_it_trickles"
    ),
    "upstream.max_response_bytes": Turned(
        "2048", "upstream/test_failures.py::test_a_get_that_fails_raises_its_own_error_and_nothing_secret"
    ),
    "upstream.max_pdf_bytes": Turned(
        "2048",
        "upstream/test_stream_pdf.py::test_what_is_not_a_whole_pdf_in_bounds_is_refused_without_showing_the_link",
    ),
    "upstream.proxy": Turned('"http://proxy.example:3128"', proxies),
    "upstream.ca_file": Turned('"ca.pem"', authorities),
    "server.host": Turned('"::1"', base),
    "server.port": Turned("8899", base),
    "server.cors_origins": Turned(
        '["https://viewer.example"]',
        "fhir_api/http/test_cross_origin.py::test_a_page_of_a_listed_origin_reads_an_answer_with_its_headers",
    ),
    "server.revalidation": Turned(
        "true",
        "fhir_api/http/test_safe_headers.py::test_a_site_may_let_clients_keep_what_a_fhir_get_answers_and_nothing_else",
    ),
    "server.workers": Turned(
        "0", "runtime/test_computing.py::test_with_no_workers_the_threads_of_this_process_compute"
    ),
    "server.tls_certificate": Turned('"cert.pem"', base),
    "server.tls_key": Turned(
        '"key.pem"', "runtime/test_server_certificate.py::test_a_request_over_tls_is_answered_and_knows_its_scheme"
    ),
    "server.tls_client_ca": Turned(
        '"ca.pem"',
        "runtime/test_server_certificate.py::"
        "test_with_authorities_of_clients_only_a_client_with_their_certificate_is_answered",
    ),
    "server.trusted_proxies": Turned(
        '["10.1.2.3"]', "test_app.py::test_behind_a_named_proxy_links_have_the_scheme_that_it_was_called_by"
    ),
    "server.management_listen": Turned(
        '"127.0.0.1:9464"', "test_app.py::test_probes_and_metrics_can_have_a_listener_of_their_own"
    ),
    "server.public_url": Turned('"https://gateway.example/fhir"', base),
    "auth.mode": Turned('"builtin"', lambda read: read.settings.auth.mode),
    "auth.issuer": Turned('"https://login.example"', lambda read: read.settings.auth.issuer),
    "auth.audience": Turned('"https://gateway.example/fhir"', lambda read: token_rules(read.settings), EXTERNAL),
    "auth.jwks_url": Turned('"https://login.example/keys"', lambda read: read.settings.auth.jwks_url),
    "auth.scope_claim": Turned('"roles"', lambda read: token_rules(read.settings), EXTERNAL),
    "auth.patient_claim": Turned('"fhir_patient"', lambda read: token_rules(read.settings), EXTERNAL),
    **{
        f"audit.syslog{name}": Turned(value, "audit/test_forwarding.py::test_a_setting_of_the_receiver_acts")
        for name, value in {
            "": '"siem.example:6514"',
            "_ca_file": '"ca.pem"',
            "_client_cert": '"cert.pem"',
            "_client_key": '"key.pem"',
            "_body": '"balp"',
        }.items()
    },
    "audit.dir": Turned('"elsewhere"', lambda read: str(read.audit_dir)),
    "audit.seal_key": Turned('"elsewhere.pem"', lambda read: str(read.audit_seal_key)),
    "audit.retention_days": Turned(
        "60", "audit/test_retention.py::test_what_is_older_than_its_days_is_removed_whole_and_leaves_a_tombstone"
    ),
    "auth.allow_private_jwks": Turned("true", lambda read: read.settings.auth.allow_private_jwks),
    **{
        f"console.{name}": Turned(value, lambda read: provider_rules(read.settings), PROVIDER)
        for name, value in {
            "issuer": '"https://other.example"',
            "client_id": '"other"',
            "client_secret": '"other"',
            "scope": '"openid groups"',
            "groups_claim": '"roles"',
            "groups": '{ staff = "reader" }',
            "subjects": '{ "248-1" = "reader" }',
        }.items()
    },
    "console.allow_private": Turned("true", lambda read: read.settings.console.allow_private),
    "pdf.ingest": Turned('"link"', wants_pdf),
    "pdf.allowed_hosts": Turned('["pdf.example"]', held("_hosts")),
    "webhook.key": Turned('"whsec_c2VjcmV0"', lambda read: read.settings.webhook.secrets),
    "database.url": Turned('"sqlite:///other.db"', engine),
    "database.connections": Turned("3", engine, {"database.url": '"postgresql://localhost/gateway"'}),
    "fhir.time_zone": Turned('"Asia/Tokyo"', lambda found: found.zone),
    "fhir.claim_us_core": Turned(
        "true",
        "fhir_api/test_capability.py::test_that_it_is_a_us_core_server_is_claimed_only_where_the_site_claims_it",
    ),
    "fhir.content_search": Turned("true", has_words),
    "fhir.canonical": Turned('"https://fhir.hospital.example"', lambda found: found.site.canonical),
    "sync.open_interval": Turned(
        "1", "crawl/test_crawler.py::test_a_signature_in_the_sandbox_is_taken_in_at_the_next_look"
    ),
    "sync.cancelled_interval": Turned(
        "1", "crawl/test_crawler.py::test_a_store_that_does_not_answer_for_a_while_stops_no_loop"
    ),
    "sync.sweep_interval": Turned(
        "7", "crawl/test_sweep.py::test_pages_are_paced_and_the_record_says_how_far_the_sweep_is"
    ),
    "sync.pages_per_second": Turned(
        "7", "crawl/test_sweep.py::test_pages_are_paced_and_the_record_says_how_far_the_sweep_is"
    ),
    "sync.concurrency": Turned(
        "3", "crawl/test_sweep.py::test_the_crawl_is_as_fast_as_concurrency_and_latency_let_it_be"
    ),
    "sync.report_refetch_hours": Turned(
        "1", "crawl/test_sweep.py::test_reports_are_not_fetched_again_and_again_however_long_an_index_may_be_old"
    ),
    "sync.refetches_per_second": Turned(
        "7", "crawl/test_account_pace.py::test_in_a_large_account_old_studies_are_fetched_again_less_often"
    ),
    "sync.max_index_age": Turned(
        "7", "fhir_api/test_freshness.py::test_after_a_sweep_an_answer_is_whole_until_that_is_too_long_ago"
    ),
    "mapping.site_key": Turned(f'"{"5b" * 32}"', mapped),
    "mapping.sending_application": Turned('"X"', mapped),
    "mapping.sending_facility": Turned('"X"', mapped),
    "mapping.receiving_application": Turned('"X"', mapped),
    "mapping.receiving_facility": Turned('"X"', mapped),
    "mapping.processing_id": Turned('"T"', mapped),
    "mapping.facilities": Turned(FACILITY.replace("New_York", "Chicago"), mapped),
    "mapping.default_facility": Turned('"City Medical Center"', mapped),
    "mapping.express_customers": Turned(
        '[{ id = "cus_1234567890abcdef1234567890abcdef", external_patient_id_system = "urn:oid:1.2.4",'
        ' external_patient_id_namespace = "EXT" }]',
        mapped,
    ),
    "mapping.accession_keys": Turned('["accession"]', mapped),
    "mapping.placer_keys": Turned('["order"]', mapped),
    "mapping.number_separator": Turned('"/"', mapped, {"mapping.accession_keys": '["accession"]'}),
    "mapping.accession_system": Turned(
        '"urn:oid:1.2.5"', mapped, {"mapping.accession_keys": '["accession"]', "mapping.accession_namespace": '"ACC"'}
    ),
    "mapping.accession_namespace": Turned(
        '"ACC"', mapped, {"mapping.accession_keys": '["accession"]', "mapping.accession_system": '"urn:oid:1.2.5"'}
    ),
    "mapping.placer_system": Turned(
        '"urn:oid:1.2.6"', mapped, {"mapping.placer_keys": '["order"]', "mapping.placer_namespace": '"PLC"'}
    ),
    "mapping.placer_namespace": Turned(
        '"PLC"', mapped, {"mapping.placer_keys": '["order"]', "mapping.placer_system": '"urn:oid:1.2.6"'}
    ),
    "mapping.vista_dfn_namespace": Turned('"CITY"', mapped, EXAM),
    "mapping.vista_ssn_namespace": Turned('"CITY"', mapped, {"mapping.accession_keys": '["accession"]'}),
    "mapping.vista_station": Turned(
        '"500"', mapped, {"mapping.vista_dfn_namespace": '"CITY"', "mapping.accession_keys": '["accession"]'}
    ),
    "mapping.vista_exam_keys": Turned(
        '["exam"]', mapped, {"mapping.vista_dfn_namespace": '"CITY"', "mapping.vista_case_keys": '["case"]'}
    ),
    "mapping.vista_case_keys": Turned(
        '["case"]', mapped, {"mapping.vista_dfn_namespace": '"CITY"', "mapping.vista_exam_keys": '["exam"]'}
    ),
    "mapping.send_drafts": Turned("true", mapped),
    "mapping.on_cancelled_after_sign": Turned('"withdraw"', mapped),
    "mapping.on_conflict": Turned('"send"', routes),
    "mapping.procedures": Turned('"procedures.csv"', mapped, {"mapping.procedure_system": '"urn:oid:1.2.7"'}),
    "mapping.starter": Turned("false", mapped),
    "mapping.procedure_system": Turned(
        '"urn:oid:1.2.8"',
        mapped,
        {"mapping.procedures": '"procedures.csv"', "mapping.procedure_fallbacks": None},
    ),
    "mapping.procedure_coding_system": Turned(
        '"99CITY"',
        mapped,
        {"mapping.procedures": '"procedures.csv"', "mapping.procedure_system": '"urn:oid:1.2.7"'},
    ),
    "mapping.procedure_fallbacks": Turned('{ CT = "CT-OTHER" }', mapped),
    "mapping.providers": Turned(
        '"providers.csv"',
        mapped,
        {"mapping.provider_system": '"urn:oid:1.2.9"', "mapping.provider_namespace": '"STAFF"'},
    ),
    "mapping.provider_system": Turned(
        '"urn:oid:1.2.9"', mapped, {"mapping.providers": '"providers.csv"', "mapping.provider_namespace": '"STAFF"'}
    ),
    "mapping.provider_namespace": Turned(
        '"STAFF"', mapped, {"mapping.providers": '"providers.csv"', "mapping.provider_system": '"urn:oid:1.2.9"'}
    ),
    "mapping.receivers": Turned('[{ name = "own", base = "pkb" }]', lambda read: str(read.site.receivers)),
    "feed.state_dir": Turned('"elsewhere"', lambda read: str(read.state_dir)),
    "feed.lease": Turned("3", "../contract/test_leases.py::test_a_lease_is_one_process_s_until_it_runs_out"),
    "feed.retention_days": Turned(
        "1",
        "../contract/test_ledger.py::test_the_text_of_what_is_settled_is_let_go_of_after_its_days_and_the_ledger_stays",
    ),
    "feed.alert_url": Turned('"https://alerts.example/"', hooked),
    "feed.heartbeat_url": Turned('"https://switch.example/"', beaten),
    "feed.heartbeat_seconds": Turned("120", beaten, {"feed.heartbeat_url": '"https://switch.example/"'}),
    "feed.alert_key": Turned('"whsec_c2VjcmV0"', hooked, {"feed.alert_url": '"https://alerts.example/"'}),
    "feed.mail_host": Turned('"other.example"', mailed, MAIL),
    "feed.mail_port": Turned("465", mailed, MAIL),
    "feed.mail_from": Turned('"other@hospital.example"', mailed, MAIL),
    "feed.mail_to": Turned('["other@hospital.example"]', mailed, MAIL),
    "feed.mail_user": Turned('"other"', mailed, MAIL),
    "feed.mail_password": Turned('"other"', mailed, MAIL),
    "feed.mail_ca_file": Turned('"ca.pem"', mailed, MAIL),
    "feed.mail_digest_hour": Turned("9", mailed, MAIL),
    "feed.queue_age_alert_minutes": Turned("60", old),
    "feed.draft_wait_minutes": Turned("7", routes),
    "feed.unasked_messages": Turned("7", unasked),
    "feed.unasked_hours": Turned("7", unasked),
    "feed.unasked_critical": Turned("true", unasked),
    "feed.escalate": Turned('[{ minutes = 5, url = "https://pager.example/" }]', hooked),
    "feed.escalate.minutes": Turned("7", hooked, {"feed.escalate.url": PAGER, "feed.escalate.minutes": "5"}),
    "feed.escalate.url": Turned(
        '"https://other.example/"', hooked, {"feed.escalate.url": PAGER, "feed.escalate.minutes": "5"}
    ),
    "feed.escalate.key": Turned('"whsec_c2VjcmV0"', hooked, {"feed.escalate.url": PAGER, "feed.escalate.minutes": "5"}),
    "feed.breaker_refusals": Turned("7", breaker_limits),
    "feed.breaker_lanes": Turned("7", breaker_limits),
    "log.level": Turned('"debug"', "runtime/test_log.py::test_below_the_level_nothing_is_written"),
    "log.format": Turned('"console"', "runtime/test_log.py::test_the_console_form_hides_the_same"),
    "destination.name": Turned('"other"', routes),
    "destination.formerly": Turned('"his"', routes),
    "destination.shares_address": Turned(
        "true", "routing/test_routes_from_settings.py::test_two_destinations_have_one_address_only_where_both_say_so"
    ),
    "destination.kind": Turned(
        '"http"', routes, {f"destination.{key}": one for key, one in HTTP.items() if key != "kind"}
    ),
    "destination.receiver": Turned('"pkb"', routes),
    "destination.start": Turned("2027-01-01T00:00:00Z", routes),
    "destination.enabled": Turned("false", routes),
    "destination.facilities": Turned('["City Medical Center"]', routes),
    "destination.express_customers": Turned('["cus_1"]', routes),
    "destination.modalities": Turned('["CT"]', routes),
    "destination.statuses": Turned('["final"]', routes),
    "destination.critical": Turned('"only"', routes),
    "destination.host": Turned('"other.example"', ends),
    "destination.port": Turned("2576", ends),
    "destination.directory": Turned(
        '"out"', routes, {f"destination.{key}": None for key in ("host", "port")} | {"destination.kind": '"file"'}
    ),
    "destination.file_mode": Turned(
        '"0640"',
        routes,
        {f"destination.{key}": None for key in ("host", "port")}
        | {"destination.kind": '"file"', "destination.directory": '"out"'},
    ),
    "destination.url": Turned(
        '"https://other.example/"', ends, {f"destination.{key}": one for key, one in HTTP.items()}
    ),
    "destination.style": Turned('"plain"', routes, {f"destination.{key}": one for key, one in HTTP.items()}),
    "destination.user": Turned(
        '"gateway"',
        routes,
        {f"destination.{key}": one for key, one in HTTP.items()} | {"destination.password": '"word"'},
    ),
    "destination.password": Turned(
        '"word"', routes, {f"destination.{key}": one for key, one in HTTP.items()} | {"destination.user": '"gateway"'}
    ),
    "destination.token": Turned('"abc"', routes, {f"destination.{key}": one for key, one in HTTP.items()}),
    "destination.tls": Turned("true", ends),
    "destination.ca_file": Turned('"ca.pem"', ends, {"destination.tls": "true"}),
    "destination.client_cert": Turned('"cert.pem"', ends, {"destination.tls": "true"}),
    "destination.client_key": Turned(
        '"key.pem"', ends, {"destination.tls": "true", "destination.client_cert": '"cert.pem"'}
    ),
    "destination.client_key_password": Turned(
        '"word"', key_password, {"destination.tls": "true", "destination.client_cert": '"cert.pem"'}
    ),
    "destination.server_name": Turned('"name.example"', ends, {"destination.tls": "true"}),
    "destination.ack_timeout": Turned("1", ends),
    "destination.ack_mode": Turned('"two_phase"', routes),
    "destination.ack_listen": Turned('"127.0.0.1:2577"', routes, {"destination.ack_mode": '"two_phase"'}),
    "destination.ack_peers": Turned(
        '["10.1.2.3"]',
        routes,
        {"destination.ack_mode": '"two_phase"', "destination.ack_listen": '"127.0.0.1:2577"'},
    ),
    "destination.ack_table": Turned('{ AE = "retry" }', meanings),
    "destination.inverted_acks": Turned("true", meanings),
    "destination.retry": Turned("1", routes),
    "destination.max_attempts": Turned("3", routes),
    "destination.indeterminate_resends": Turned("3", routes),
    "destination.window": Turned("3", routes),
    "destination.gap": Turned("3", pace),
    "destination.rate_limit": Turned("3", pace),
    "destination.keepalive": Turned("3", routes),
    "destination.idle_close": Turned("3", routes),
    "destination.close_after_each": Turned("true", routes),
    "destination.quiet_hours": Turned('["20:00-21:00"]', pace, {"destination.time_zone": '"America/New_York"'}),
    "destination.time_zone": Turned('"Asia/Tokyo"', pace, {"destination.quiet_hours": '["20:00-21:00"]'}),
    "destination.pdf": Turned('"ed"', routes),
    "destination.pdf_max": Turned("2048", routes),
    "destination.accession": Turned('"required"', routes),
    "destination.accession_wait_minutes": Turned("7", routes),
    "destination.hold_until_matched": Turned("7", routes),
    "destination.late_match": Turned('"restate"', routes),
    "destination.merge": Turned('"move"', routes),
    "destination.input_wait": Turned("7", routes),
    "destination.on_conflict": Turned('"send"', routes),
    "destination.mrn_authority": Turned('"receiver"', routes),
    "destination.critical_alert_minutes": Turned("7", routes),
    "destination.dry_run": Turned("true", routes),
    "destination.ehr_url": Turned('"https://ehr.example/r4"', routes, EHR),
    "destination.ehr_token_url": Turned('"https://login.example/token"', routes, EHR),
    "destination.ehr_client_id": Turned('"other"', routes, EHR),
    "destination.ehr_key_file": Turned('"other.pem"', routes, EHR),
    "destination.ehr_requests_per_hour": Turned("100", routes, EHR),
    "destination.ehr_sampling": Turned("0.5", routes, EHR),
    "ignore.name": Turned('"other"', ignored),
    "ignore.reason": Turned('"other"', ignored),
    "ignore.facilities": Turned('["City Medical Center"]', ignored),
    "ignore.express_customers": Turned('["cus_1"]', ignored),
    "ignore.modalities": Turned('["XR"]', ignored),
    "source.name": Turned('"other"', sources),
    "source.listen": Turned('"127.0.0.1:2602"', sources),
    "source.may": Turned('["merges"]', sources),
    "source.tls_certificate": Turned('"cert.pem"', sources),
    "source.tls_key": Turned('"key.pem"', sources, {"source.tls_certificate": '"cert.pem"'}),
    "source.tls_client_ca": Turned('"ca.pem"', sources, {"source.tls_certificate": '"cert.pem"'}),
    "source.peers": Turned('["10.1.2.3"]', sources),
    "source.facility": Turned(None, sources, {"source.authorities": '[{ namespace = "VN", system = "" }]'}),
    "source.sending_facilities": Turned('{ "HOSP" = "City Medical Center" }', sources, OF_SEVERAL),
    "source.location_facilities": Turned('{ "WARD" = "City Medical Center" }', sources, OF_SEVERAL),
    "source.authorities": Turned('[{ namespace = "VN", system = "" }]', sources),
    "source.charset": Turned('"8859/1"', sources),
    "source.time_zone": Turned('"Asia/Tokyo"', sources),
    "source.message_types": Turned('["ORM^O01"]', sources),
    "source.sections": Turned('["RAD"]', sources),
    "source.receiving_applications": Turned('["RIS"]', sources),
    "source.receiving_facilities": Turned('["CITY"]', sources),
    "source.senders": Turned('["EPIC|CITY"]', sources),
    "source.processing_ids": Turned('["T"]', sources),
    "source.accession_field": Turned('"OBR-20"', sources),
    "source.study_uid": Turned('"key"', sources),
    "source.unlisted": Turned('"reject"', sources),
    "source.formerly": Turned('"cerner"', sources),
    "source.connections": Turned("3", sources),
    "source.order_days": Turned("30", order_days),
}


def every() -> list[str]:
    single = [f"{section}.{name}" for section, name, _ in settings_fields()]
    return single + [f"{section}.{name}" for section, group in TABLES.items() for name in group.model_fields]


def test_every_setting_has_a_row_and_no_row_is_of_none() -> None:
    unturned = set(every()) - TURNED.keys()
    assert unturned == set(), f"add a row to TURNED of {Path(__file__).name}, which proves the effect"
    assert TURNED.keys() - set(every()) == set(), "declare the setting in gateway/settings/, or take the row away"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that settings name."""
    path = tmp_path_factory.mktemp("settings")
    trustme.CA().cert_pem.write_to_path(path / "ca.pem")
    (path / "procedures.csv").write_text("procedure,code,system\nHOUSE EXAM 7,HX7,L\n")
    (path / "providers.csv").write_text("name,user_id,local_id,npi,family,given\nDr. Ann Jones,,77,,Jones,Ann\n")
    return path


def outcome(folder: Path, values: dict[str, str | None], shows: Callable[[Configuration], Any]) -> Any:
    """Return the effect of these settings, or the refused keys."""
    sections: dict[str, dict[str, str]] = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        if value is not None:
            sections.setdefault(section, {})[name] = value
    lines = []
    for section, pairs in sections.items():
        lines.append(f"[[{section}]]" if section in TABLES else f"[{section}]")
        lines += [f"{name} = {value}" for name, value in pairs.items()]
    path = folder / "gateway.toml"
    path.write_text("\n".join(lines).replace('"ca.pem"', f'"{folder}/ca.pem"'))
    read, found = survey(path)
    if read is None or found:
        return "refused", sorted(error.key for error in found)
    try:
        return "taken", shows(read)
    except ConfigError as error:
        return "refused", [error.key]


@pytest.mark.parametrize("key", [key for key, one in TURNED.items() if not isinstance(one.shows, str)])
def test_a_setting_that_is_turned_changes_something(key: str, folder: Path) -> None:
    row = TURNED[key]
    given = {f"{section}.{name}": value for section, one in GIVEN.items() for name, value in one.items()}
    before = given | (row.beside or {})
    turned = before | {key: row.value}
    seen, after = outcome(folder, before, row.shows), outcome(folder, turned, row.shows)
    assert after != seen
    assert after[0] == "taken", after


@pytest.mark.parametrize("key", [key for key, one in TURNED.items() if isinstance(one.shows, str)])
def test_where_another_test_shows_it_that_test_is_there(key: str) -> None:
    place, _, name = TURNED[key].shows.partition("::")
    text = (Path(__file__).parents[1] / place).read_text()
    assert name in {
        one.name for one in ast.walk(ast.parse(text)) if isinstance(one, ast.AsyncFunctionDef | ast.FunctionDef)
    }


@cache
def reads(*left_out: str) -> frozenset[str]:
    """The attributes that the gateway reads anywhere but in these places."""
    found = set()
    for path in (ROOT / "gateway").rglob("*.py"):
        if not str(path.relative_to(ROOT / "gateway")).startswith(left_out):
            nodes = ast.walk(ast.parse(path.read_text()))
            found |= {one.attr for one in nodes if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Load)}
    return frozenset(found)


_ACTS_WHERE_IT_IS_READ = {("Destination", "shares_address")}  # on which tables are taken


def parts() -> Iterator[tuple[str, str]]:
    for made in (Destination, Ehr, Retry, Routes, Mllp, Folder, Http, Basic, Bearer, TlsSettings):
        for one in fields(made):
            if (made.__name__, one.name) not in _ACTS_WHERE_IT_IS_READ:
                yield made.__name__, one.name


@pytest.mark.parametrize(("made", "name"), list(parts()))
def test_every_part_of_a_destination_is_read_by_who_does_the_work(made: str, name: str) -> None:
    """A setting that is only stored in a destination, and never read from it, has no effect."""
    left_out = ("settings", "routing/routes_from_settings", "routing/transport_from_settings", "checks")
    assert name in reads(*left_out), f"{name} of {made} is read by nobody: read it in the module that does the work"


# Paths of the audit have a default beside others
_READ_ELSEWHERE = ("mapping.", "destination.", "ignore.", "audit.dir", "audit.seal_key")


@pytest.mark.parametrize("key", [key for key in every() if not key.startswith(_READ_ELSEWHERE)])
def test_every_setting_of_the_service_is_read_by_who_does_the_work(key: str) -> None:
    read = reads("settings", "checks")
    assert key.rpartition(".")[2] in read, f"{key} is read by nobody: read it in the module that does the work"


def test_what_is_left_out_of_the_reading_is_there() -> None:
    for name in ("settings", "checks", "routing/routes_from_settings", "routing/transport_from_settings"):
        assert list((ROOT / "gateway").glob(f"{name}*"))
