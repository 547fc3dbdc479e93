"""Study -> HL7 v2 messages, and the receiver profiles that say what they look like.

HL7 v2.5.1 chapters 2, 3, 4 and 7; `to_oru` makes an ORU^R01, `receiver` reads a profile of this package.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from mappings.hl7v2.oru_r01 import to_oru
from mappings.issues import SiteError
from mappings.profile import Receiver, parse_receiver

__all__ = ["receiver", "receiver_names", "to_oru"]


@cache
def receiver(name: str) -> Receiver:
    """The receiver profile of that name (`receivers/<name>.toml`).

    Raises:
        SiteError: there is no such profile.
    """
    if name not in receiver_names():
        raise SiteError("receiver", "no such receiver profile", f"Known here: {', '.join(receiver_names())}.")
    return parse_receiver((resources.files(__name__) / "receivers" / f"{name}.toml").read_text("utf-8"))


def receiver_names() -> tuple[str, ...]:
    """The names of the profiles in this package, sorted."""
    files = (resources.files(__name__) / "receivers").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))
