"""docs/sandbox.toml: settings that check-config finds no fault in, and that say what the sandbox's facilities are."""

from pathlib import Path

import pytest

from gateway.checks import config
from gateway.demo.stage import demo_site
from gateway.runtime.command_words import SANDBOX_API_KEY
from gateway.sandbox.upstream import SandboxOptions
from gateway.settings import Configuration, load

PATH = Path(__file__).parents[2] / "docs" / "sandbox.toml"


@pytest.fixture
def configuration(monkeypatch: pytest.MonkeyPatch) -> Configuration:
    monkeypatch.setenv("GATEWAY_MAPPING__SITE_KEY", "k" * 32)
    assert config.faults(PATH) == []
    return load(PATH)


def test_its_facilities_are_those_of_the_sandbox(configuration: Configuration) -> None:
    assert configuration.site.facilities == demo_site().facilities
    assert configuration.site.accession_keys == ("accessionNumber",)


def test_it_leads_to_the_sandbox(configuration: Configuration) -> None:
    upstream = configuration.settings.upstream
    assert upstream.base_url == SandboxOptions().base_url
    assert upstream.api_key is not None
    assert upstream.api_key.get_secret_value() == SANDBOX_API_KEY
