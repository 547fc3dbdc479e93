"""Find the user who created or signed a report; a name that AutoScribe lacks comes from the site's provider directory.

https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.resultsInterpreter, HL7 v2.5.1 §7.4.1.32
(OBR-32) and §7.4.2.16 (OBX-16), decision D24: all these elements name the same person.
"""

from __future__ import annotations

from dataclasses import replace

from mappings.issues import MappingIssue
from mappings.model import Report, Study, User
from mappings.profile import Site
from mappings.values.text import is_said


def signer(study: Study, report: Report, site: Site) -> tuple[User | None, tuple[MappingIssue, ...]]:
    """User with the report's userId; None with an issue if neither AutoScribe nor the site knows the user.

    A user without a name in AutoScribe gets name, suffix and degree from the site's provider directory.
    """
    user, provider = study.users.get(report.user_id), site.user(report.user_id)
    if user is None and provider is None:
        action = "FHIR names the radiologist by identifier only, v2 not at all"
        return None, (MappingIssue("user-unknown", "warning", f"{report.pointer}/userId", action),)
    known = user or User(report.user_id, pointer=f"{report.pointer}/userId")
    if provider is None or any(map(is_said, (known.first_name, known.middle_name, known.last_name))):
        return known, ()
    names = {"first_name": provider.given, "middle_name": provider.middle, "last_name": provider.family}
    return replace(known, **names, suffix1=provider.suffix, suffix2=provider.degree), ()


def spoken_name(user: User) -> str:
    """Name of a signer on one line: first, middle and last name with suffixes; "" if there is none."""
    parts = (user.first_name, user.middle_name, user.last_name, user.suffix1, user.suffix2)
    return " ".join(part.strip() for part in parts if part and part.strip())
