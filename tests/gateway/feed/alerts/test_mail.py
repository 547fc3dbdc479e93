"""Alerts by mail go to a real SMTP server over TLS, once each, and no server holds up the feed (issue N §2)."""

from __future__ import annotations

import asyncio
import gc
import ssl
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from fakes.listening import listening
from fakes.ports import free_port
from pydantic import SecretStr, ValidationError
from structlog.testing import capture_logs

from gateway.feed.alerts import mail
from gateway.feed.alerts.conditions import ROWS, Alert
from gateway.feed.alerts.mail import MailHook
from gateway.feed.alerts.monitor import news, updated_alert
from gateway.feed.alerts.webhook import StoreAlarm, hooks, process_alert_data
from gateway.runtime import clock
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.store.feed.alerts import StandingAlert

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
CA, OTHER = trustme.CA(), trustme.CA()
TO = ("it@hospital.example", "night@hospital.example")


class Box:
    """Handler of the server: keeps what it took, and refuses from `refuses_after` mails on."""

    def __init__(self):
        self.mails, self.refuses_after, self.logins = [], 1_000, []

    async def handle_DATA(self, server, session, envelope):
        if len(self.mails) >= self.refuses_after:
            return "451 later"
        self.mails.append((envelope.rcpt_tos, envelope.content.decode()))
        return "250 taken"

    def authenticated(self, server, session, envelope, mechanism, data):
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"secret")

    @property
    def subjects(self):
        return [
            line.removeprefix("Subject: autoscribe-gateway: ")
            for _, text in self.mails
            for line in text.replace("\r\n ", " ").splitlines()
            if line.startswith("Subject: ")
        ]


def context(ca):
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("localhost").configure_cert(made)
    return made


@pytest.fixture
def smtp(tmp_path):
    """Return a function that opens an SMTP server of others, and the settings of it."""
    file = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(file)

    @asynccontextmanager
    async def opened(ca=CA, *, offers_tls=True, more=(), **settings):
        box = Box()
        given = {"tls_context": context(ca), "require_starttls": True} if offers_tls else {}
        given |= {"authenticator": box.authenticated, "auth_required": True} if "mail_user" in settings else {}
        server = Controller(box, hostname="localhost", port=(port := free_port("localhost")), **given)
        await asyncio.to_thread(server.start)
        try:
            yield (
                box,
                Feed(
                    mail_host="localhost",
                    mail_port=port,
                    mail_from="gateway@hospital.example",
                    mail_to=TO,
                    mail_ca_file=file,
                    **settings,
                ),
            )
        finally:
            await asyncio.to_thread(server.stop)
            gc.collect()  # the server leaves its connections to the collector, whose warnings belong to this test

    return opened


def data(code, change="begins", **more):
    said = process_alert_data(code, "ehr", "cleared" if change == "ends" else "raised", (3, clock.now()), "ehr:2575")
    return {**said, "change": change, **more}


async def test_an_alert_is_mailed_when_it_begins_and_when_it_ends_over_starttls_with_a_login(smtp):
    async with smtp(mail_user="gateway", mail_password=SecretStr("secret")) as (box, settings):
        [hook] = hooks(settings)
        alert = StandingAlert("dead-letter", "ehr")
        for found in (
            Alert("dead-letter", "ehr", 1, {3: "stu_1"}, about={3: "stu_1, message M1: AE-207"}),
            Alert("dead-letter", "ehr", 2, {3: "stu_1", 4: "stu_2"}),
            None,
            None,
        ):
            alert = updated_alert(alert, found, 10)
            due = list(news(alert, [hook], 10))
            for item, is_taken in zip(due, await hook.post_all([one.data() for one in due]), strict=True):
                assert is_taken
                alert = item.posted()
    assert box.subjects == ["dead-letter at ehr begins", "dead-letter at ehr is over"]
    assert box.logins == [(b"gateway", b"secret")] * 2
    to, text = box.mails[0]
    assert tuple(to) == TO
    for part in ("About: stu_1, message M1: AE-207", "Next: autoscribe-gateway feed dead-letters ehr", "#dead-letter"):
        assert part in text
    assert "Auto-Submitted: auto-generated" in text


async def test_a_further_critical_result_is_mailed_too_and_any_other_case_is_not(smtp):
    async with smtp() as (box, settings):
        hook = MailHook(settings)
        assert await hook.post_all([data("critical-overdue", "grows"), data("lane-held", "grows")]) == [True, True]
    assert box.subjects == ["critical-overdue at ehr grows"]


async def test_what_is_not_urgent_waits_for_one_digest_a_day(smtp, monkeypatch):
    now = clock.now().astimezone().replace(hour=6, minute=0)
    monkeypatch.setattr(clock, "now", lambda: now)
    async with smtp() as (box, settings):
        hook = MailHook(settings)
        both = [data("certificate-30-days"), data("left-open")]
        assert await hook.post_all([*both, data("store-lost")]) == [False, False, True]
        assert box.subjects == ["store-lost at ehr begins"]
        now += timedelta(hours=1)
        assert await hook.post_all(both) == [True, True]
        assert await hook.post_all([data("settings-differ")]) == [False]
        now += timedelta(hours=23, minutes=59)
        assert await hook.post_all([data("settings-differ")]) == [False]
        now += timedelta(minutes=1)
        assert await hook.post_all([data("settings-differ")]) == [True]
    assert box.subjects[1:] == ["digest, 2 that can wait", "digest, 1 that can wait"]
    assert all(ROWS[code].meaning[:40] in box.mails[1][1].replace("=\r\n", "") for code in ("left-open",))


async def test_a_server_without_tls_or_with_a_certificate_of_others_gets_no_mail_and_no_password(smtp):
    login = {"mail_user": "gateway", "mail_password": SecretStr("CANARY")}
    for options in ({"offers_tls": False}, {"ca": OTHER}):
        async with smtp(**options) as (box, settings):
            with capture_logs() as lines:
                assert not await MailHook(settings.model_copy(update=login)).post(data("store-lost"))
            assert (box.mails, box.logins) == ([], [])
            [line] = [one for one in lines if one["event"] == "alert-not-posted"]
            assert line["code"] in {"SMTPNotSupportedError", "SSLCertVerificationError"}
            assert "CANARY" not in repr(lines)


async def test_what_the_server_did_not_take_is_mailed_later_and_what_it_took_is_not_mailed_again(smtp, monkeypatch):
    at = 1000.0
    monkeypatch.setattr(clock, "monotonic", lambda: at)
    async with smtp() as (box, settings):
        hook, both = MailHook(settings), [data("store-lost"), data("dead-letter")]
        box.refuses_after = 1
        assert await hook.post_all(both) == [True, False]
        box.refuses_after = 1_000
        assert await hook.post_all(both[1:]) == [False]
        at += 60
        assert await hook.post_all(both[1:]) == [True]
    assert box.subjects == ["store-lost at ehr begins", "dead-letter at ehr begins"]


@pytest.mark.parametrize("greeting", [b"", b"2"])
async def test_a_server_that_hangs_is_left_after_its_time_and_no_second_thread_waits_for_it(greeting, monkeypatch):
    monkeypatch.setattr(mail, "SECONDS", 0.3)

    async def hang(reader, writer):
        while True:
            writer.write(greeting)
            await asyncio.sleep(0.05)

    async with listening(hang) as port:
        hook = MailHook(Feed(mail_host="127.0.0.1", mail_port=port, mail_from="a@b.example", mail_to=TO))
        async with asyncio.timeout(60):
            assert not await hook.post(data("store-lost"))
            session = hook._session
            assert not await hook.post(data("store-lost"))
            assert hook._session is session
            while session.is_alive():
                await asyncio.sleep(0.01)


async def test_one_address_that_fails_does_not_repeat_the_news_at_the_other(smtp, monkeypatch):
    at = 1000.0
    monkeypatch.setattr(clock, "monotonic", lambda: at)
    async with smtp() as (box, given):
        settings = given.model_copy(update={"alert_url": SecretStr("http://127.0.0.1:1/")})
        alarm = StoreAlarm(lambda: "store-full", settings, Metrics(), lambda: "/var/lib/gateway.db")
        for _ in range(3):
            at += 70
            await alarm.turn()
    assert box.subjects == ["store-full begins"]
    assert "About: /var/lib/gateway.db" in box.mails[0][1]


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"mail_host": "mail.example"}, "mail_host"),
        ({"mail_host": "m.example", "mail_from": "a@b.example"}, "mail_host"),
        ({"mail_from": "a@b.example\r\nBcc: x@y.example"}, "mail_from"),
        ({"mail_to": "nobody"}, "mail_to"),
        ({"mail_host": "m", "mail_from": "a@b.example", "mail_to": "a@b.example", "mail_user": "u"}, "mail_host"),
    ],
)
def test_settings_of_half_a_mail_are_refused_and_name_their_key(given, key):
    with pytest.raises(ValidationError) as fault:
        Feed(**given)
    assert [one["loc"][0] for one in fault.value.errors()] == [key]
