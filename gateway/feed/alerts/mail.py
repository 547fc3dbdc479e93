"""Mail alerts: one mail when an alert begins, one when it ends, and once a day a digest of what is not urgent.

RFC 3207 (STARTTLS, never without), RFC 8314 §3.3 (port 465: TLS at once), RFC 4954 (login), RFC 3834 §5 (automatic
mail), through Python's smtplib; decision D38. The server has a thread of its own, and its time is bounded: however
slow, it holds up neither the feed nor the end of the process. A mail has what the webhook has: nothing of a patient.
Proved by tests/gateway/feed/alerts/test_mail.py.
"""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Any, Final

from gateway.feed.alerts.conditions import ROWS
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.runtime.log import get_logger
from gateway.runtime.tls import SHOWN, TlsSettings, tls_context
from gateway.settings.feed import Feed

NAME: Final = "mail"
SECONDS: Final = 20.0  # for all mails of a round
_EACH: Final = 10.0  # seconds for one answer of the server
_TLS_AT_ONCE: Final = 465
_PAUSE: Final = 60.0  # seconds after a failure: a server that refuses a password may lock the account
_COMMAND: Final = "autoscribe-gateway"
_DAY: Final = timedelta(days=1)


class MailHook:
    """Mail to the people of the site. It is given news as an address of the webhook is."""

    name, after = NAME, 0

    def __init__(self, settings: Feed) -> None:
        self._settings = settings
        self._session: MailSession | None = None
        self._not_before = 0.0
        self._digested = clock.now()

    async def post(self, data: Mapping[str, Any], kind: str = "feed.alert") -> bool:
        """Mail one alert, as `post_all`."""
        return (await self.post_all([data]))[0]

    async def post_all(self, news: Sequence[Mapping[str, Any]]) -> list[bool]:
        """Mail changes of alerts; return of each whether it is done with. What is not urgent waits for the digest.

        A further case of an alert is mailed only if it is a critical result.
        """
        mails = [([place], _mail(one)) for place, one in enumerate(news) if _is_mailed(one)]
        waiting = [place for place, one in enumerate(news) if not _is_urgent(one)]
        if waiting and self._is_due(clock.now()):
            mails.append((waiting, _digest([news[place] for place in waiting])))
        sent = await self._sent([mail for _, mail in mails])
        done = {place for places, _ in mails[:sent] for place in places}
        if not done.isdisjoint(waiting):
            self._digested = clock.now()
        return [place in done or (_is_urgent(one) and not _is_mailed(one)) for place, one in enumerate(news)]

    def _is_due(self, now: datetime) -> bool:
        """True once a day, from the hour of the settings on, by the time zone of this machine."""
        local = now.astimezone()
        at = local.replace(hour=self._settings.mail_digest_hour, minute=0, second=0, microsecond=0)
        return self._digested < (at if at <= local else at - _DAY)

    async def _sent(self, mails: Sequence[EmailMessage]) -> int:
        """Send mails within `SECONDS`; return how many the server took. After a failure, wait for `_PAUSE`."""
        is_busy = self._session is not None and not self._session.over.is_set()
        if not mails or is_busy or clock.monotonic() < self._not_before:
            return 0
        self._session = session = MailSession(self._settings, mails, asyncio.get_running_loop())
        session.start()
        try:
            async with asyncio.timeout(SECONDS):
                await session.over.wait()
        except TimeoutError:
            session.abort()
        if session.sent < len(mails):
            get_logger().warning("alert-not-posted", operation=NAME, code=session.fault, status=session.status)
            self._not_before = clock.monotonic() + _PAUSE
        return session.sent


class MailSession(threading.Thread):
    """One connection to the mail server; `sent` counts the mails it took, `fault` and `status` say what went wrong."""

    def __init__(self, settings: Feed, mails: Sequence[EmailMessage], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(name=NAME, daemon=True)
        self.sent, self.fault, self.status = 0, "TimeoutError", None
        self.over = asyncio.Event()
        self._settings, self._mails, self._loop = settings, mails, loop
        self._line: socket.socket | None = None

    def run(self) -> None:
        """Send the mails, one after the other, until one fails."""
        try:
            self._send(self._settings)
        except (OSError, smtplib.SMTPException, ConfigError, ValueError) as error:  # ValueError: an address
            self.fault, self.status = type(error).__name__, getattr(error, "smtp_code", None)
        finally:
            if self._line is not None:
                self._line.close()
            with suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(self.over.set)

    def abort(self) -> None:
        """End the connection from another thread."""
        with suppress(OSError):
            if self._line is not None:
                self._line.shutdown(socket.SHUT_RDWR)

    def _send(self, settings: Feed) -> None:
        host, port = settings.mail_host or "", settings.mail_port
        context = tls_context(TlsSettings(settings.mail_ca_file), "feed.mail_host")
        with _Client(self, host, port, context if port == _TLS_AT_ONCE else None) as client:
            if port != _TLS_AT_ONCE:
                client.starttls(context=context)  # raises where the server does not offer it
            SHOWN.note(f"{host}:{port}", client.sock)
            if settings.mail_user and settings.mail_password is not None:
                client.login(settings.mail_user, settings.mail_password.get_secret_value())
            for mail in self._mails:
                mail["From"], mail["To"] = settings.mail_from, ", ".join(settings.mail_to)
                if refused := client.send_message(mail):
                    get_logger().warning("mail-recipients-refused", count=len(refused))
                self.sent += 1

    def opened(self, line: socket.socket) -> None:
        """Keep the connection, so that `abort` can end it at any moment, also within a handshake."""
        self._line = line.dup()


class _Client(smtplib.SMTP):
    """SMTP client that shows its session the connection before it waits for the server."""

    def __init__(self, session: MailSession, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self._session, self._context = session, context
        super().__init__(host, port, timeout=_EACH)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        line = socket.create_connection((host, port), timeout)
        self._session.opened(line)
        return line if self._context is None else self._context.wrap_socket(line, server_hostname=host)


def _is_urgent(data: Mapping[str, Any]) -> bool:
    return data["alert"] not in ROWS or ROWS[data["alert"]].is_urgent


def _is_mailed(data: Mapping[str, Any]) -> bool:
    return _is_urgent(data) and (data["change"] != "grows" or ROWS[data["alert"]].escalates)


def _mail(data: Mapping[str, Any]) -> EmailMessage:
    """Return the mail about one change of an alert."""
    return _message(_title(data), _described(data))


def _digest(news: Sequence[Mapping[str, Any]]) -> EmailMessage:
    """Return the mail with all that is not urgent."""
    return _message(
        f"digest, {len(news)} that can wait", "\n\n".join(f"{_title(one)}\n{_described(one)}" for one in news)
    )


def _title(data: Mapping[str, Any]) -> str:
    place = f" at {data['destination']}" if data["destination"] else ""
    return f"{data['alert']}{place} {'is over' if data['state'] == 'cleared' else data['change']}"


def _described(data: Mapping[str, Any]) -> str:
    """Describe a change of an alert: meaning, number, what it concerns, next command, runbook."""
    meaning = ROWS[data["alert"]].meaning if data["alert"] in ROWS else ""
    lines = [meaning, f"Number: {data['count']}", f"Since: {data.get('since', 'not known')}"]
    lines += [f"About: {one}" for one in data["about"]]
    if data["state"] == "raised":
        lines.append(f"Next: {_COMMAND} {data['next']}")
    return "\n".join([*lines, f"Runbook: {data['runbook']}"])


def _message(title: str, text: str) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = f"{_COMMAND}: {title}"
    mail["Date"], mail["Message-ID"] = format_datetime(clock.now()), make_msgid(domain=socket.gethostname())
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{text}\n\nFrom {socket.gethostname()}. Nothing in this mail is about a patient.\n")
    return mail
