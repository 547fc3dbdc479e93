"""docs/site.md: its examples, put together, are a site that check-config finds no fault in."""

import re
from pathlib import Path

from gateway.checks import config
from gateway.settings import load

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "site.md").read_text()
BLOCKS = re.findall(r"```(toml|csv)\n(.*?)```", TEXT, re.DOTALL)


def _configuration(folder: Path) -> Path:
    single = [block.split("[mapping]\n")[1] for kind, block in BLOCKS if kind == "toml" and "[mapping]\n" in block]
    tables = [block for kind, block in BLOCKS if kind == "toml" and "[mapping]\n" not in block]
    split = [block.partition("[mapping.procedure_fallbacks]") for block in single]
    plain, fallbacks = ("".join(one[place] for one in split) for place in (0, 2))
    path = folder / "gateway.toml"
    path.write_text(
        f"[auth]\nmode = 'builtin'\n[mapping]\nsite_key = '{'k' * 32}'\n{plain}\n"
        f"[mapping.procedure_fallbacks]{fallbacks}\n{''.join(tables)}\n[upstream]\napi_key = 'key'\n"
    )
    for name, text in zip(("procedures", "providers"), (one for kind, one in BLOCKS if kind == "csv"), strict=True):
        (folder / f"{name}.csv").write_text(text)
    return path


def test_the_examples_together_are_a_good_site(tmp_path: Path) -> None:
    path = _configuration(tmp_path)
    assert config.faults(path) == []
    site = load(path).site
    assert site.provider("chen, michael") == site.provider("Dr. Michael Chen")
    assert site.procedures["bedside echo"][0].coding_system == "99CITY"
    assert site.procedure_fallbacks.keys() == {"CT", "MR"}
    assert site.facilities["city medical center"].organization.address
    assert (site.accession_keys, site.placer_keys, site.number_separator) == (("accession",), ("order",), ";")
    assert len(site.express_customers) == 1


def test_every_setting_of_the_mapping_that_is_not_of_msh_is_explained() -> None:
    names = type(load(None).settings.mapping).model_fields.keys()
    elsewhere = {"site_key", "processing_id"} | {name for name in names if name.startswith(("sending_", "receiving_"))}
    assert [name for name in sorted(names - elsewhere) if name not in TEXT] == []
