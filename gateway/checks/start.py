"""Check what must be right before the service starts: roles, address, site key, certificate, destinations, login.

Carries out no clause of a standard; decision D10.
Proved by tests/gateway/test_app.py.
"""

from __future__ import annotations

from collections.abc import Collection

from gateway.checks.certificate import faults as certificate_faults
from gateway.checks.config import source_faults
from gateway.checks.destinations import faults as destination_faults
from gateway.checks.login import check_login
from gateway.runtime.errors import ConfigError
from gateway.runtime.words import FEED, ROLES
from gateway.settings import Configuration, require_audit_place, require_guarded, require_mode, require_site_key


def check_start(configuration: Configuration, roles: Collection[str], *, holds_feed: bool, insecure: bool) -> None:
    """Check the settings and the roles that a service is to start with; `insecure` accepts requests without a token.

    Raises:
        ConfigError: the first fault found.
    """
    for role in roles:
        if role not in ROLES:
            raise ConfigError("command line", "--roles", f"no role {role!r}", f"Roles are {', '.join(ROLES)}.")
    if holds_feed and FEED not in roles:
        raise ConfigError("command line", "--hold-feed", "no role feed", "Give it to the process that has this role.")
    require_guarded(configuration)
    _require_login(configuration, insecure=insecure)
    require_site_key(configuration)
    require_audit_place(configuration)
    found = (certificate_faults, destination_faults, source_faults)
    for fault in (one for faults in found for one in faults(configuration)):
        raise fault
    check_login(configuration.settings)


def _require_login(configuration: Configuration, *, insecure: bool) -> None:
    """Check that the operator said twice that everybody may read: in the settings, and on the command line.

    Raises:
        ConfigError: said nowhere, or at one place alone.
    """
    require_mode(configuration)
    mode, option = configuration.settings.auth.mode, "--insecure"
    if mode == "none" and not insecure:
        remedy = f"Give {option} if this is a trial on this machine; else set auth.mode."
        raise ConfigError("command line", option, 'missing, and auth.mode is "none": everybody here may read', remedy)
    if mode != "none" and insecure:
        raise ConfigError("command line", option, f'given, and auth.mode is "{mode}"', "Leave it out.")
