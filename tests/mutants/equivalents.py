"""Mutants that no test can kill, since they do the same: the file, the line with its change, and the reason."""

from __future__ import annotations

_STAR_IMPORTS = "`__all__` serves star imports, which ruff forbids here, and tells mypy what is exported"
EQUIVALENTS: dict[tuple[str, str], str] = {
    ("mappings/patient/identifiers.py", "\"base62\", => 'XXbase62',"): _STAR_IMPORTS,
}
