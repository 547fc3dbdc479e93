"""Study -> HL7 v2 messages, and the receiver profiles that say what they look like.

HL7 v2.5.1 chapters 2, 3, 4 and 7; `to_oru` makes an ORU^R01, `receiver` reads a profile of this package.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

from mappings.hl7v2.oru_r01 import patients, to_oru
from mappings.issues import SiteError
from mappings.profile import Receiver, parse_receiver

_PROFILES: Final = resources.files(__name__) / "receivers"
RECEIVERS: Final = tuple(sorted(file.name[:-5] for file in _PROFILES.iterdir() if file.name.endswith(".toml")))
"""The names of the receiver profiles of this package."""

__all__ = ["RECEIVERS", "patients", "receiver", "to_oru"]


@cache
def receiver(name: str) -> Receiver:
    """The receiver profile of that name (`receivers/<name>.toml`).

    Raises:
        SiteError: there is no such profile.
    """
    if name not in RECEIVERS:
        raise SiteError("receiver", "no such receiver profile", f"Known here: {', '.join(RECEIVERS)}.")
    return parse_receiver((_PROFILES / f"{name}.toml").read_text("utf-8"))
