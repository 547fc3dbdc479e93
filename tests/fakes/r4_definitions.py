"""Structure definitions of R4 4.0.1 from the package in ../shared, and a reader of XML that uses only them."""

from __future__ import annotations

import json
import tarfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

Json = dict[str, Any]
FHIR = "{http://hl7.org/fhir}"
DIV = "{http://www.w3.org/1999/xhtml}div"
PACKAGE = "conformance/hl7.fhir.r4.core-4.0.1.tgz"
# In the package, but not part of R4 4.0.1
NOT_R4 = {f"Meta.{name}" for name in ("project", "author", "onBehalfOf", "account", "accounts", "compartment")}
NOT_R4 |= {"Binary.url"}
NUMBERS = {"decimal", "integer", "unsignedInt", "positiveInt"}


@dataclass(frozen=True)
class Defined:
    """An element of a type or part; `types` are its type codes, or the path of the part with the shared definition."""

    name: str
    path: str
    types: tuple[str, ...]
    is_list: bool
    is_summary: bool
    is_mandatory: bool
    is_modifier: bool


class Definitions:
    """Elements by type or part, in order."""

    def __init__(self, shared: Path) -> None:
        self.elements: dict[str, list[Defined]] = {}
        self.primitives: set[str] = set()
        self.resources: set[str] = set()
        with tarfile.open(shared / PACKAGE) as package:
            for member in package.getmembers():
                if member.name.startswith("package/StructureDefinition-"):
                    self._take(json.load(package.extractfile(member)))

    def _take(self, definition: Json) -> None:
        name, kind = definition["type"], definition["kind"]
        if definition.get("derivation") == "constraint" or kind == "logical":
            return
        if kind == "primitive-type":
            self.primitives.add(name)
        if kind == "resource":
            self.resources.add(name)
        for element in definition["snapshot"]["element"]:
            parent, _, last = element["path"].rpartition(".")
            if parent and element["path"] not in NOT_R4:
                self.elements.setdefault(parent, []).append(_defined(last, element))


def _defined(name: str, element: Json) -> Defined:
    shared = element.get("contentReference", "").rpartition("#")[2]
    types = (shared,) if shared else tuple(one["code"] for one in element["type"])
    flags = element.get("isSummary", False), element["min"] > 0, element.get("isModifier", False)
    return Defined(name, element["path"], types, element["max"] == "*", *flags)


@cache
def definitions(shared: Path) -> Definitions:
    return Definitions(shared)


class Reader:
    """Reader of FHIR XML as JSON; it asserts the order of the elements. Numbers are `("number", text)`."""

    def __init__(self, known: Definitions) -> None:
        self._known = known

    def resource(self, xml: bytes) -> Json:
        return self._resource(ET.fromstring(xml))

    def _resource(self, node: ET.Element) -> Json:
        kind = _local(node)
        assert not node.attrib, "a resource has no attributes"
        return {"resourceType": kind, **self._object(node, kind)}

    def _object(self, node: ET.Element, kind: str) -> Json:
        assert not (node.text or "").strip()
        made: Json = {} if kind in self._known.resources else dict(node.attrib)
        last = -1
        for child in node:
            assert not (child.tail or "").strip()
            place, element, code = self._element(kind, "div" if child.tag == DIV else _local(child))
            assert place > last or (place == last and element.is_list), f"{element.path} stands in the wrong place"
            last = place
            self._put(made, "div" if child.tag == DIV else _local(child), element, *self._value(child, element, code))
        return made

    def _element(self, kind: str, name: str) -> tuple[int, Defined, str]:
        for place, element in enumerate(self._known.elements[kind]):
            if element.name == name:
                return place, element, element.types[0]
            if element.name.endswith("[x]") and name.startswith(element.name[:-3]):
                suffix = name[len(element.name) - 3 :]
                for code in element.types:
                    if code[0].upper() + code[1:] == suffix:
                        return place, element, code
        raise AssertionError(f"R4 has no {name} in {kind}")

    def _value(self, node: ET.Element, element: Defined, code: str) -> tuple[Any, Json | None]:
        """Read the value, and its companion in JSON."""
        if node.tag == DIV:
            return canonical(ET.tostring(node, encoding="unicode")), None
        if code in self._known.resources:
            [inner] = node
            return self._resource(inner), None
        if code in self._known.primitives or code.startswith("http://hl7.org/fhirpath/"):
            attributes = dict(node.attrib)
            value = attributes.pop("value", None)
            more = {**attributes, **self._object_of_extensions(node)}
            return (None if value is None else _primitive(value, code)), more or None
        return self._object(node, element.path if code in ("BackboneElement", "Element") else code), None

    def _object_of_extensions(self, node: ET.Element) -> Json:
        return {"extension": [self._object(child, "Extension") for child in node]} if len(node) else {}

    def _put(self, made: Json, name: str, element: Defined, value: Any, more: Json | None) -> None:
        if not element.is_list:
            made.update({name: value} if value is not None else {})
            made.update({f"_{name}": more} if more else {})
            return
        made.setdefault(name, []).append(value)
        if more or f"_{name}" in made:
            beside = made.setdefault(f"_{name}", [])
            beside += [None] * (len(made[name]) - 1 - len(beside)) + [more]


def _local(node: ET.Element) -> str:
    assert node.tag.startswith(FHIR), f"{node.tag} is not in the namespace of FHIR"
    return node.tag.removeprefix(FHIR)


def _primitive(value: str, code: str) -> Any:
    if code == "boolean":
        return {"true": True, "false": False}[value]
    return ("number", value) if code in NUMBERS else value


def canonical(div: str) -> str:
    """Return XHTML in canonical form, so that only its content is compared."""
    return ET.canonicalize(div, rewrite_prefixes=True)


def exact(body: bytes) -> Any:
    """Parse JSON as `Reader` does: numbers as written, narratives canonical."""

    def number(text: str) -> tuple[str, str]:
        return ("number", text)

    def narratives(found: Json) -> Json:
        return {key: canonical(value) if key == "div" else value for key, value in found.items()}

    return json.loads(body, parse_float=number, parse_int=number, object_hook=narratives)
