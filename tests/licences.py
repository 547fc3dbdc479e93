"""Fails when a package of the runtime environment has a licence that a permissive project cannot ship."""

import importlib.metadata as metadata
import re
import sys
from pathlib import Path

ALLOWED = re.compile(r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla|Unlicense|0BSD", re.IGNORECASE)
FORBIDDEN = re.compile(r"\bA?GPL|LGPL|GNU (Affero|Lesser|General)", re.IGNORECASE)
LOCK = Path(__file__).parents[1] / "requirements.lock"


def licence_of(name: str) -> str:
    meta = metadata.metadata(name)
    classifiers = [value for key, value in meta.items() if key == "Classifier" and value.startswith("License ::")]
    return " ".join([meta.get("License-Expression") or "", (meta.get("License") or "")[:200], *classifiers])


def main() -> int:
    pinned = re.findall(r"^([a-zA-Z0-9][a-zA-Z0-9._-]*)==", LOCK.read_text(), re.MULTILINE)
    installed = {dist.metadata["Name"].lower().replace("_", "-") for dist in metadata.distributions()}
    faults = []
    for name in pinned:
        if name.lower().replace("_", "-") in installed:
            text = licence_of(name)
            if FORBIDDEN.search(text) or not ALLOWED.search(text):
                faults.append(f"{name}: {text.strip() or 'no licence named'}")
    sys.stdout.write("\n".join(faults) or f"licences: {len(pinned)} runtime packages, all permissive\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
