"""One frozen tree of settings: where values come from, and what a misspelt name is told."""

import os
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from heygemd.errors import SetupError
from heygemd.settings import RenderSettings, Settings, load


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "heygemd.toml"


def complaint(file: Path | None = None, **overrides: object) -> str:
    with pytest.raises(SetupError) as caught:
        load(file, **overrides)
    assert caught.value.code == "E401"
    return caught.value.message


def test_without_anything_the_defaults_hold() -> None:
    assert load().model_dump() == Settings().model_dump()


def test_file_goes_over_default(file: Path) -> None:
    file.write_text('[render]\ncrf = 20\nengine = "atlas"\n')
    settings = load(file)
    assert (settings.render.crf, settings.render.engine, settings.render.preset) == (20, "atlas", "veryfast")


def test_variable_goes_over_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("[render]\ncrf = 20\nsegment_s = 7\n")
    monkeypatch.setenv("HEYGEMD_RENDER__CRF", "21")
    settings = load(file)
    assert (settings.render.crf, settings.render.segment_s) == (21, 7)


def test_command_line_goes_over_variable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('state_dir = "from-file"\n')
    monkeypatch.setenv("HEYGEMD_STATE_DIR", "from-variable")
    assert load(file).state_dir == Path("from-variable")
    assert load(file, state_dir=Path("from-command")).state_dir == Path("from-command")


def test_unknown_key_of_the_file_is_told_the_nearest_name(file: Path) -> None:
    file.write_text('root = ["a"]\n')
    words = complaint(file)
    assert str(file) in words
    assert "did you mean roots?" in words


def test_unknown_key_of_a_table_is_told_the_nearest_name(file: Path) -> None:
    file.write_text("[render]\nsegments_s = 30\n")
    words = complaint(file)
    assert "render.segments_s" in words
    assert "did you mean segment_s?" in words


def test_unknown_variable_is_told_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEYGEMD_MODEL_DIR", "x")
    words = complaint()
    assert "HEYGEMD_MODEL_DIR" in words
    assert "did you mean HEYGEMD_MODELS_DIR?" in words


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("HEYGEMD_RENDER__ENGIN", "HEYGEMD_RENDER__ENGINE"),
        ("HEYGEMD_RENDER_ENGINE", "HEYGEMD_RENDER__ENGINE"),
        ("heygemd_intake__setle_s", "HEYGEMD_INTAKE__SETTLE_S"),
        ("HEYGEMD_ROOT", "HEYGEMD_ROOTS"),
    ],
)
def test_a_misspelt_variable_of_a_table_is_told_the_whole_name(
    monkeypatch: pytest.MonkeyPatch, wrong: str, right: str
) -> None:
    monkeypatch.setenv(wrong, "1")
    assert f"unknown variable {wrong} (did you mean {right}?)" in complaint()


def test_the_variable_that_names_the_configuration_is_none_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEYGEMD_CONFIG", "/somewhere.toml")
    assert load().model_dump() == Settings().model_dump()


def test_unknown_variable_of_a_table_is_told_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEYGEMD_RENDER__PRESETT", "fast")
    assert "did you mean HEYGEMD_RENDER__PRESET?" in complaint()


def test_variable_of_the_test_suite_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEYGEMD_REQUIRE", "")
    assert load().model_dump() == Settings().model_dump()


def test_value_out_of_range_names_its_key(file: Path) -> None:
    file.write_text("[render]\ncrf = 77\n")
    assert "render.crf" in complaint(file)


def test_broken_toml_names_the_file(file: Path) -> None:
    file.write_text("[render\ncrf = 20\n")
    words = complaint(file)
    assert str(file) in words
    assert "TOML" in words


def test_missing_file_is_an_error(file: Path) -> None:
    assert "does not exist" in complaint(file)


def test_a_file_that_is_a_folder_or_not_ours_to_read_is_an_error(tmp_path: Path) -> None:
    assert "does not exist" in complaint(tmp_path)
    if os.geteuid() != 0:
        (tmp_path / "secret.toml").touch(mode=0o000)
        assert "cannot be read" in complaint(tmp_path / "secret.toml")


def test_a_variable_that_is_no_json_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEYGEMD_ROOTS", "[/srv/films")
    assert "roots" in complaint()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        load().render.crf = 3  # type: ignore[misc]


def test_config_file_in_the_repository_is_up_to_date(script, repository: Path) -> None:
    assert (repository / "config" / "heygemd.toml").read_text(encoding="utf-8") == script("make_config").config_text()


def test_config_file_as_it_stands_changes_nothing(repository: Path) -> None:
    assert load(repository / "config" / "heygemd.toml").model_dump() == Settings().model_dump()


def test_every_value_of_the_config_file_is_the_default(repository: Path, file: Path) -> None:
    lines = (repository / "config" / "heygemd.toml").read_text(encoding="utf-8").splitlines()
    bare = [line.removeprefix("#") for line in lines if not line.startswith("# ") and '"PATH"' not in line]
    file.write_text("\n".join(bare), encoding="utf-8")
    assert load(file).model_dump() == Settings().model_dump()
    written = tomllib.loads(file.read_text(encoding="utf-8"))
    assert written.keys() == Settings.model_fields.keys() - {"state_dir", "log_file", "metrics_file"}
    assert written["render"].keys() == RenderSettings.model_fields.keys()
