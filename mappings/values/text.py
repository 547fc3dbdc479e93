"""Normalize a report's text for HL7 v2 fields and FHIR strings (called N(text)), and encode the original as UTF-8.

The `string` rules of https://hl7.org/fhir/R4/datatypes.html#string, the characters of
https://www.w3.org/TR/xml/#charsets, and what an MLLP block cannot hold (HL7 v2.5.1 Appendix C); decision D5. N in full:

| in the text | in N(text) | issue |
|---|---|---|
| CR LF, LF, CR, VT, FF, NEL (U+0085), LS (U+2028), PS (U+2029) | one LF | none |
| FS, GS, RS (U+001C to U+001E) | one LF | `character-replaced` |
| tab | four spaces, at any column, so N(a + b) = N(a) + N(b) unless the cut parts CR from LF | none |
| a lone surrogate (U+D800 to U+DFFF) | U+FFFD | `character-replaced` |
| any other C0 or C1 control, DEL, U+FFFE, U+FFFF | nothing | `character-removed` |
| anything else, including blanks at line ends and the byte order mark | itself | none |
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from mappings.issues import MappingIssue

TAB: Final = "    "
REPLACEMENT: Final = "\ufffd"
_LINE_BREAKS: Final = frozenset("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
_SEPARATORS: Final = ("\x1c", "\x1d", "\x1e")
_REMOVED: Final = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def lines(text: str) -> list[str]:
    r"""Split N(text) into lines, always at least one: `"\n".join(lines(text)) == normal_form(text)`."""
    all_lines = text.splitlines()
    if not text or text[-1] in _LINE_BREAKS:
        all_lines.append("")
    return [line if line.isprintable() else _clean(line) for line in all_lines]


def normal_form(text: str) -> str:
    r"""Return N(text): idempotent, every visible character kept, `\n` the only control character."""
    return text if _is_normal(text) else "\n".join(lines(text))


def is_said(value: object) -> bool:
    """True for a value that is present and, if it is a text, not blank in N(text)."""
    return bool(normal_form(value).strip()) if isinstance(value, str) else value is not None


def character_issues(text: str, pointer: str) -> tuple[MappingIssue, ...]:
    """Report the characters that N removes or replaces, one issue per kind (surrogates: one kind), by code point."""
    if _is_normal(text):
        return ()
    odd = "".join(line for line in text.splitlines() if not line.isprintable())
    issues = [
        MappingIssue("character-removed", "warning", pointer, f"removed {count} x {_name(character)}")
        for character, count in sorted(Counter(_REMOVED.findall(odd)).items())
    ]
    issues += [
        MappingIssue(
            "character-replaced", "warning", pointer, f"{text.count(mark)} x {_name(mark)} became a line break"
        )
        for mark in _SEPARATORS
        if mark in text
    ]
    if surrogates := len(_SURROGATE.findall(odd)):
        action = f"{surrogates} x lone surrogate (U+D800 to U+DFFF) became U+FFFD"
        issues.append(MappingIssue("character-replaced", "warning", pointer, action))
    return tuple(issues)


def signed_text_issues(text: str, pointer: str) -> tuple[MappingIssue, ...]:
    """Return the `character_issues` of a signed report's text, with an error if N leaves no readable text."""
    issues = character_issues(text, pointer)
    if text.strip() and (not issues or normal_form(text).strip()):
        return issues
    return (MappingIssue("report-text-absent", "error", pointer, "the report is signed, its text is empty"), *issues)


def is_merged(parent: str | None, addendum: str | None) -> bool:
    """True if an addendum's text contains the whole text of its report, both in normal form (D17)."""
    whole = normal_form(parent or "").strip()
    return bool(whole) and whole in normal_form(addendum or "")


def utf8(text: str) -> tuple[bytes, bool]:
    """Encode the text for `presentedForm`; True if a lone surrogate, which UTF-8 cannot hold, became U+FFFD."""
    try:
        return text.encode(), False
    except UnicodeEncodeError:
        return _SURROGATE.sub(REPLACEMENT, text).encode(), True


def _is_normal(text: str) -> bool:
    """True for printable characters and LF only, the common case: N changes nothing and need not check each line."""
    return text.isprintable() or text.replace("\n", "").isprintable()


def _clean(line: str) -> str:
    return _SURROGATE.sub(REPLACEMENT, _REMOVED.sub("", line.replace("\t", TAB)))


def _name(character: str) -> str:
    return f"U+{ord(character):04X}"


_MOST_UNDER_256: Final = 0xFF


def printable(text: str) -> str:
    """Escape the characters of a text that are not printable."""
    return text if text.isprintable() else "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that was no UTF-8 (`surrogateescape`)
        number -= 0xDC00
    return f"\\x{number:02x}" if number <= _MOST_UNDER_256 else f"\\u{number:04x}"
