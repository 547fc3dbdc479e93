"""A search parameter: one row of the table that search, extraction, CapabilityStatement and documents read.

https://hl7.org/fhir/R4/searchparameter.html, https://hl7.org/fhir/R4/search.html#modifiers, decision D30.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from gateway.index import keys

Type = Literal["token", "reference", "date", "string", "uri"]

# The modifiers that are offered; a reference has the types that it may lead to beside them
CODE: Final = ("not", "missing")
CONCEPT: Final = ("not", "missing", "text")
IDENTIFIER: Final = ("not", "missing", "of-type")
TEXT: Final = ("exact", "contains", "missing")
REFERENCE: Final = ("identifier", "missing")
PRESENCE: Final = ("missing",)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter of a type of resource; `definition` is the canonical URL of its SearchParameter.

    `paths` are the elements it looks at, as JSON has them; an extension stands with its url. `narrows`: a value of it
    alone makes a search allowed (D30). `targets` are the types that a reference of ours leads to, `chains` what may be
    asked of them. `shares` names the parameter whose rows in the index it reads, if not its own. `system` is that of a
    `code` element, which does not say it; `codes` those that it may have: another finds nothing. A value that is not
    among `values`, where there are any, is malformed. `absent` is the code of a resource that does not say any.
    """

    resource_type: str
    name: str
    type: Type
    paths: tuple[str, ...]
    definition: str
    documentation: str
    modifiers: tuple[str, ...] = ()
    narrows: bool = False
    targets: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()
    shares: str = ""
    system: str = ""
    codes: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    absent: str = ""

    @property
    def key(self) -> int:
        """The number under which its rows stand in the index."""
        return keys.key(self.resource_type, self.shares or self.name)

    def key_with(self, modifier: str) -> int:
        """The number of the rows that only a modifier of it reads."""
        return keys.key(self.resource_type, f"{self.shares or self.name}:{modifier}")
