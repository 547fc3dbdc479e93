"""Class of a search parameter: one row of the table used by search, indexing, CapabilityStatement and documents.

https://hl7.org/fhir/R4/searchparameter.html, https://hl7.org/fhir/R4/search.html#modifiers, decision D30.
Proved by tests/gateway/index/test_parameter_lookup.py and tests/gateway/index/test_extract.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from gateway.index import keys

Type = Literal["token", "reference", "date", "string", "uri"]

# Modifiers offered for each kind of parameter; a reference also accepts its target types
NOT: Final = ("not",)
CODE: Final = ("not", "missing")
CONCEPT: Final = ("not", "missing", "text")
IDENTIFIER: Final = ("not", "missing", "of-type")
TEXT: Final = ("exact", "contains", "missing")
REFERENCE: Final = ("identifier", "missing")
PRESENCE: Final = ("missing",)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter of a resource type; `definition` is the canonical URL of its SearchParameter.

    Of one of our own, `definition` is the address below the base of the site's own definitions. `paths` are its
    elements in JSON; one of our own extensions is given by its name. `narrows`: the parameter alone makes a search
    allowed (D30). `targets` are the types that the gateway's references lead to, `chains` the parameters offered on
    them. `shares` names the parameter whose index rows it reads, if not its own. `system` is the implied system of a
    `code` element, `codes` are its possible codes; another code finds nothing. If there are `values`, any other value
    is malformed. `absent` is the code indexed for a resource without the element.
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
    def is_own(self) -> bool:
        """True if the gateway defines the parameter itself."""
        return "://" not in self.definition

    def url(self, canonical: str) -> str:
        """Return the canonical URL of its SearchParameter; `canonical` is the base of the site's own definitions."""
        return f"{canonical}/{self.definition}" if self.is_own else self.definition

    @property
    def key(self) -> int:
        """Key of the parameter's index rows."""
        return keys.key(self.resource_type, self.shares or self.name)

    def key_with(self, modifier: str) -> int:
        """Return the key of the index rows that only one of the parameter's modifiers reads."""
        return keys.key(self.resource_type, f"{self.shares or self.name}:{modifier}")
