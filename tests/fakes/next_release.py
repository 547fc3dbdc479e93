"""The next release of the gateway: one more migration in a folder of its own, in place while a block runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.store.database import migrate, migrations, probe

NEXT = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "1002", "1001"


def upgrade():
    op.add_column("fact", sa.Column("since", sa.Integer(), nullable=False, server_default=sa.text("7")))
    op.create_index("fact_by_since", "fact", ["since"])


def downgrade():
    op.drop_index("fact_by_since", "fact")
    op.drop_column("fact", "since")
"""


@contextmanager
def upgraded(folder: Path, script: str = NEXT) -> Iterator[None]:
    """Bring the next release while the block runs, and then this one again; `folder` holds its migrations."""
    if not folder.exists():
        shutil.copytree(next(iter(migrations.__path__)), folder)
    (folder / "versions" / "1002_next.py").write_text(script)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrate, "_FOLDER", folder)
        patch.setattr(probe, "_SCRIPTS", folder / "versions")
        yield
