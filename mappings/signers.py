"""Who created or signed a report: the User of AutoScribe, named as the site's directory has it where it has no name.

https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.resultsInterpreter, HL7 v2.5.1 §7.4.1.32
(OBR-32) and §7.4.2.16 (OBX-16), decision D24: all of them name the same person.
"""

from __future__ import annotations

from dataclasses import replace

from mappings.issues import MappingIssue
from mappings.model import Report, Study, User
from mappings.profile import Site
from mappings.text import is_said


def signer(study: Study, report: Report, site: Site) -> tuple[User | None, tuple[MappingIssue, ...]]:
    """The User behind a report's userId, or None with an issue where neither AutoScribe nor the site knows who it is.

    A user whose name AutoScribe does not say has name, suffix and degree of the site's provider directory.
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
    """The name of a signer as one line: first, middle and last name with suffixes; "" where none is said."""
    parts = (user.first_name, user.middle_name, user.last_name, user.suffix1, user.suffix2)
    return " ".join(part.strip() for part in parts if part and part.strip())
