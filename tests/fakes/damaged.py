"""Damage FHIR resources at random, in structure and in values, as no mapping should: most of it must be refused."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from fhir.resources.R4B import get_fhir_model_class

Json = dict[str, Any]
# A place in a resource: the object or list, and the key or index there
Place = tuple[Any, Any]

TEXTS = (
    *("", " ", "\t", "\n", "\x00", "a\x00b", "\u00a0", "\u2028", "\x1c", "a\x1cb", "\x0b", "\ufffe", "\ud800"),
    *("a\udfff", "a b", "a  b", " a", "a ", "a\n", "\ta", "é", "x" * 65, "x" * 256, "#a", "a/b", "Patient/a"),
    *("Group/a", "Patient/a_b", "Binary/a", "Binary/a/_history/1", "http://a.b/c", "HTTP://", "urn:oid:1.2", "urn:x y"),
    *("mailto:a@b", "/a", "//", "2024", "2024-02", "2024-13", "2024-00-10", "2024-02-30", "2023-02-29", "0000-01-01"),
    *("2024-1-1", "20240101", "2024-03-15T16:00:00", "2024-03-15T16:00:00Z", "2024-03-15T24:00:00Z"),
    *("2024-03-15T16:00:60Z", "2024-03-15T16:00Z", "2024-02-30T16:00:00Z", "2024-03-15T16:00:00+15:00"),
    *("2024-03-15T16:00:00.1234567890123Z", "2024-03-15t16:00:00z", "final", "generated", "unknown", "asked-unknown"),
    *("male", "usual", "official", "replaces", "phone", "true", "1", "-0", "YQ==", "YQ=", "YQ", "YR==", "Y Q="),
    *("YQ==\n", "====", "a===", "@@@@", "text/plain", "Observation", "string", "uri"),
    '<div xmlns="http://www.w3.org/1999/xhtml"><p><b>a</b></p></div>',
    '<div xmlns="http://www.w3.org/1999/xhtml"><script>a</script></div>',
)
NUMBERS = (
    *(0, 1, -1, 2**31 - 1, 2**31, -(2**31), 10**15, 10**400),
    *(0.0, 0.5, -0.0, 1e-7, 1e300, float("inf"), float("nan")),
)
OTHERS = (None, True, False, [], {}, [None], [[]], [{}], ["a"], {"a": "b"}, {"extension": []}, {"id": "a"})
_ABSENT = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
_KEYS = (
    "resourceType",
    "resource_type",
    "fhir_comments",
    "contained",
    "extension",
    "id",
    "_id",
    "text__ext",
    "language",
)


def _places(node: Any) -> Iterator[Place]:
    """Yield every place of a resource."""
    steps = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
    for step, value in steps:
        yield node, step
        if isinstance(value, dict | list):
            yield from _places(value)


def _text(value: Any, random: Random) -> Any:
    """Change a character of a text; any other value becomes another one."""
    if not isinstance(value, str) or not value:
        return random.choice((*NUMBERS, *OTHERS))
    at, new = random.randrange(len(value)), random.choice((*" \n\t\x00\x0b\u00a0\ud800é-./:+0129aZT&<", ""))
    return value[:at] + new + value[at + random.choice((0, 1)) :]


def _number(value: Any, random: Random) -> Any:
    return random.choice((*NUMBERS, str(value), not value))


def _put(made: Callable[[Any, Random], Any]) -> Callable[[Json, Random], None]:
    def damage(resource: Json, random: Random) -> None:
        node, step = random.choice([*_places(resource)])
        node[step] = made(node[step], random)

    return damage


def _swap(resource: Json, random: Random) -> None:
    """Exchange two places: right values where they do not belong."""
    places = [*_places(resource)]
    (one, here), (other, there) = random.choice(places), random.choice(places)
    one[here], other[there] = copy.deepcopy(other[there]), copy.deepcopy(one[here])


def _swap_of_a_name(resource: Json, random: Random) -> None:
    """Exchange the values of two elements of one name, such as two codes, two references, two hashes."""
    places = [(node, step) for node, step in _places(resource) if isinstance(node, dict)]
    name = random.choice(places)[1]
    like = [place for place in places if place[1] == name]
    (one, here), (other, there) = random.choice(like), random.choice(like)
    one[here], other[there] = copy.deepcopy(other[there]), copy.deepcopy(one[here])


def _leave_out(resource: Json, random: Random) -> None:
    node, step = random.choice([*_places(resource)])
    del node[step]


def _repeat(resource: Json, random: Random) -> None:
    """Repeat an item, or make one value a list, or a list its only item."""
    node, step = random.choice([*_places(resource)])
    if isinstance(node, list):
        node.insert(step, copy.deepcopy(node[step]))
    else:
        value = node[step]
        node[step] = value[0] if isinstance(value, list) and value else [value]


def _rename(resource: Json, random: Random) -> None:
    """Give an element another name: of another element, of none, or of its extensions."""
    places = [(node, step) for node, step in _places(resource) if isinstance(node, dict)]
    node, step = random.choice(places)
    node[random.choice((f"_{step}", f"{step}__ext", f"{step}2", *_KEYS, random.choice(places)[1]))] = node.pop(step)


def _add(resource: Json, random: Random) -> None:
    """Add an element that R4 has somewhere: a second choice, a modifier, a contained resource, an extension."""
    objects = [resource, *(node[step] for node, step in _places(resource) if isinstance(node[step], dict))]
    model = get_fhir_model_class(
        random.choice(("Observation", "DiagnosticReport", "Patient", "Extension", "Attachment", "Identifier"))
    )
    names = [one.alias or name for name, one in model.model_fields.items()]
    values = ("a", "2024-01-01", {"text": "a"}, {"reference": "Patient/a"}, {"extension": [dict(_ABSENT)]})
    node = random.choice(objects)
    node[random.choice((*names, *_KEYS))] = random.choice((*values, [values[2]], [values[3]], True, 1, *TEXTS))


DAMAGES: tuple[Callable[[Json, Random], None], ...] = (
    _put(_text),
    _put(_text),
    _put(_number),
    _put(lambda _, random: random.choice(TEXTS)),
    _put(lambda _, random: copy.deepcopy(random.choice(OTHERS))),
    _swap,
    _swap_of_a_name,
    _leave_out,
    _repeat,
    _rename,
    _add,
)


def damaged(resource: Json, random: Random) -> Json:
    """Return a copy of a resource with one, two or three random damages."""
    made = copy.deepcopy(resource)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if len(made) < 2:
            break
        random.choice(DAMAGES)(made, random)
    return made
