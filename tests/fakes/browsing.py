"""Debian's Chromium in front of a console that listens, signed in with a role."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from fakes.consoled import ROLE, StandInGate
from playwright.async_api import Browser, Page, async_playwright

from gateway.app import create_app
from gateway.console.pages import PAGES
from gateway.runtime.command_words import API, CONSOLE
from gateway.runtime.serving import listening_socket, running
from gateway.settings import Configuration

CHROMIUM = shutil.which("chromium")


def require_chromium() -> str:
    """Return the path of Chromium; without it skip, and fail in CI."""
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("needs chromium")
        pytest.skip("needs chromium, which is not installed here")
    return CHROMIUM


@dataclass
class Browsed:
    """A browser, the application, the address of its console, and what the pages complained of."""

    browser: Browser
    app: Any
    root: str
    complaints: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def page(self, role: str = "admin", width: int = 1440, **more: Any) -> AsyncIterator[Page]:
        """Open a page of a window of that width."""
        more = {"viewport": {"width": width, "height": 900}, "extra_http_headers": {ROLE: role}, **more}
        context = await self.browser.new_context(**more)
        page = await context.new_page()
        page.on("console", lambda said: self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        yield page
        await context.close()


@asynccontextmanager
async def browsed(configuration: Configuration, roles: Sequence[str] = (API, CONSOLE)) -> AsyncIterator[Browsed]:
    """Serve these roles of a site on a port, and open a browser."""
    app = create_app(configuration, roles, console=PAGES)
    path = require_chromium()
    with listening_socket("127.0.0.1", 0) as listener:
        async with running(app, listener), async_playwright() as playwright:
            app.state.console_gate = StandInGate()
            browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            yield Browsed(browser, app, f"http://127.0.0.1:{listener.getsockname()[1]}/console/")
            await browser.close()
