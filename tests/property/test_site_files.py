"""Law of the site's CSV files: any text is read or refused by line, never a crash, never a value in an error text."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.profile import PROCEDURE_COLUMNS, Site, exact, read_site
from mappings.profile.directory import PROVIDER_COLUMNS

SETTINGS = (
    '[mapping]\nprocedures = "a"\nproviders = "b"\nprocedure_system = "urn:oid:1.2"\n'
    'provider_system = "urn:oid:1.3"\nprovider_namespace = "CITY"\n'
)
HEADS = (",".join(PROCEDURE_COLUMNS) + "\n", ",".join(PROVIDER_COLUMNS) + "\n")
cells = st.one_of(
    st.sampled_from(
        ["", "L", "LOINC", "24627-2", "24627-3", "CT", "MRI", "1234567893", "usr_" + "a" * 32, "Chen", "CHEN "]
    ),
    st.text(max_size=12),
)


@st.composite
def sheets(draw: st.DrawFn) -> str:
    """Draw CSV of any cells, under a valid heading or any other."""
    rows = draw(st.lists(st.lists(cells, min_size=1, max_size=11), max_size=6))
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=draw(st.sampled_from(["\n", "\r\n"]))).writerows(rows)
    return draw(st.sampled_from(["", "\ufeff"])) + draw(st.sampled_from(["", *HEADS])) + text.getvalue()


@pytest.mark.full
@given(st.one_of(st.text(), sheets()), st.one_of(st.text(), sheets()))
def test_any_text_makes_a_site_and_faults_that_are_placed(procedures: str, providers: str) -> None:
    site, faults = read_site(SETTINGS, files={"procedures": procedures, "providers": providers})
    assert isinstance(site, Site)
    assert all(fault.key.startswith(("mapping.procedures, line ", "mapping.providers, line ")) for fault in faults)
    assert all(fault.problem and fault.remedy.endswith((".", '"".')) for fault in faults)
    assert all(key and key == exact(key) for rows in (site.procedures, site.providers.by_name) for key in rows)


@given(st.lists(st.sampled_from(range(10)), min_size=1, max_size=4), st.integers(0, 1))
def test_no_fault_says_what_stands_in_a_cell(places: list[int], which: int) -> None:
    columns = (PROCEDURE_COLUMNS, PROVIDER_COLUMNS)[which]
    good = (["Toe", "24627-2", "LOINC", "x", "CT"], ["A", "usr_" + "a" * 32, "1", "1234567893", "B", *"CDEFG"])[which]
    row = [f"CANARY {place}" if place in places else cell for place, cell in enumerate(good)]
    for text in (
        f"{','.join(columns)}\n{','.join(row)}\n{','.join(row)}\n",
        f"{','.join(columns)}\n{','.join(row)},CANARY\n",
        f"{','.join(row)}\n{','.join(columns)}\n",
        f'{",".join(columns)}\n"CANARY"CANARY,{",".join(row)}\n',
    ):
        _, faults = read_site(SETTINGS, files={"procedures": text, "providers": text})
        assert faults
        assert not any("CANARY" in f"{fault} {fault!r} {vars(fault)}" for fault in faults)


@given(st.lists(st.tuples(st.text(max_size=9), st.sampled_from(["", "CT", "MR"])), max_size=6))
def test_what_is_read_of_a_good_file_is_what_was_written(rows: list[tuple[str, str]]) -> None:
    unique = {exact(text): (text, modality) for text, modality in rows if exact(text)}
    sheet = io.StringIO(newline="")
    csv.writer(sheet).writerows([PROCEDURE_COLUMNS, *((text, "C", "L", "", one) for text, one in unique.values())])
    settings = SETTINGS.replace('providers = "b"\n', "starter = false\n")
    site, faults = read_site(settings, files={"procedures": sheet.getvalue()})
    assert faults == []
    assert {key: codes[0].modality for key, codes in site.procedures.items()} == {
        key: modality for key, (_, modality) in unique.items()
    }
