"""The files that the settings name: where they are looked for, what is said of each that is wrong."""

import os

import pytest

from gateway import settings

PROCEDURES = "procedure,code,system\nToe,24627-2,LOINC\n"
PROVIDERS = "name,family\nDr. Chen,Chen\n"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in os.environ:
        if name.upper().startswith(("GATEWAY_", "AVARA_")):
            monkeypatch.delenv(name)


@pytest.fixture
def config(tmp_path):
    folder = tmp_path / "etc"
    folder.mkdir()
    path = folder / "gateway.toml"
    path.write_text('[mapping]\nprocedures = "procedures.csv"\nproviders = "providers.csv"\n')
    (folder / "procedures.csv").write_text(PROCEDURES)
    (folder / "providers.csv").write_text(PROVIDERS)
    return path


def _problems(path):
    return [(problem.source, problem.key, problem.problem) for problem in settings.survey(path)[1]]


def test_a_path_of_the_settings_file_is_relative_to_that_file(config, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    site = settings.load(config).site
    assert site.procedures["toe"][0].code == "24627-2"
    assert site.provider("dr. chen").family == "Chen"


def test_a_path_of_the_environment_is_relative_to_the_working_directory_and_outranks_the_file(
    config, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.csv").write_text("name,family\nDr. Berg,Berg\n")
    monkeypatch.setenv("GATEWAY_MAPPING__PROVIDERS", "other.csv")
    site = settings.load(config).site
    assert (site.provider("dr. chen"), site.provider("dr. berg").family) == (None, "Berg")


def test_an_absolute_path_stays_as_it_is(config, tmp_path):
    elsewhere = tmp_path / "elsewhere.csv"
    elsewhere.write_text(PROVIDERS.replace("Chen", "Berg"))
    config.write_text(f"[mapping]\nproviders = '{elsewhere}'\n")
    assert settings.load(config).site.provider("dr. berg").family == "Berg"


def test_a_byte_order_mark_and_cr_lf_are_no_fault(config):
    (config.parent / "providers.csv").write_bytes(b"\xef\xbb\xbf" + PROVIDERS.replace("\n", "\r\n").encode())
    assert settings.load(config).site.provider("dr. chen").family == "Chen"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("folder", "is no file"),
        (b"\xff\xfen\x00a\x00", "is not UTF-8"),
        (b"name,family\nDr. Ch\xe9n,Ch\xe9n\n", "is not UTF-8"),
        (b"x" * (16 * 2**20 + 1), "is too large"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_by_its_setting(config, content, problem):
    path = config.parent / "providers.csv"
    path.unlink()
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    assert _problems(config) == [(str(config), "mapping.providers", f"the file it names {problem}")]


def test_a_file_of_the_environment_that_cannot_be_read_is_named_by_its_variable(config, monkeypatch):
    monkeypatch.setenv("GATEWAY_MAPPING__PROCEDURES", "CANARY.csv")
    (found,) = settings.survey(config)[1]
    assert (found.source, found.key) == ("environment", "GATEWAY_MAPPING__PROCEDURES")
    assert "CANARY" not in str(found)


def test_a_fault_in_a_file_is_named_with_the_file_its_line_and_its_column(config):
    (config.parent / "procedures.csv").write_text(PROCEDURES + "Foot,24627-3,LOINC\nHand\n")
    (config.parent / "providers.csv").write_text("")
    folder = config.parent
    assert [problem[:2] for problem in _problems(config)] == [
        (str(folder / "providers.csv"), "line 1"),
        (str(folder / "procedures.csv"), "line 3, column code"),
        (str(folder / "procedures.csv"), "line 4"),
    ]


def test_faults_of_files_are_found_beside_those_of_other_settings(config):
    config.write_text(config.read_text() + "on_conflict = 'merge'\n[server]\nport = 'x'\n")
    (config.parent / "providers.csv").write_text("name\nA\n")
    assert [key for _, key, _ in _problems(config)] == ["server.port", "mapping.on_conflict", "line 1"]


def test_a_name_that_no_file_can_have_is_no_crash(config):
    config.write_text('[mapping]\nprocedures = "a\\u0000b"\nproviders = ""\n')
    assert [problem for _, _, problem in _problems(config)] == [
        "the file it names has a name that no file can have",
        "the file it names is no file",
    ]


def test_a_setting_that_is_no_text_is_reported_once(config):
    config.write_text("[mapping]\nprocedures = 1\nproviders = ['a']\n")
    assert sorted(key for _, key, _ in _problems(config)) == ["mapping.procedures", "mapping.providers"]
