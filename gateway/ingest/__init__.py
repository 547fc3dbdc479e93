"""Ingest a study from AutoScribe: fetch, map to FHIR, compare with the stored study, and write in one transaction.

Carries out no clause of a standard; decisions D2, D7, D20, D25. `Pipeline` is imported at its first use (PEP 562): a
command that only needs plans loads no mapping.
Proved by tests/gateway/ingest/test_assembly.py.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.ingest.pipeline import Fetch, Fetched, Ingested, ListedStudy, Pipeline

__all__ = ["Fetch", "Fetched", "Ingested", "ListedStudy", "Pipeline"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module("gateway.ingest.pipeline"), name)
