"""Every setting with its source; and whether a daemon could start."""

import json
import tomllib

import pytest

from heygemd.configuration import DEFAULT, FILE, check, effective, schema
from heygemd.errors import SetupError
from heygemd.intake.roots import init_root
from heygemd.jobs.roots import Root
from heygemd.settings import load


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    import os

    for name in [*os.environ]:
        if name.upper().startswith("HEYGEMD_"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)


@pytest.fixture
def write(tmp_path):
    def text(*lines):
        file = tmp_path / "some.toml"
        file.write_text("\n".join(lines) + "\n")
        return file

    return text


def by_name(file):
    return {one.name: one for one in effective(load(file), file)}


def test_without_anything_all_is_default():
    found = by_name(None)
    assert {one.source for one in found.values()} == {DEFAULT}
    assert all(one.value == one.default for one in found.values())
    assert all(one.description for one in found.values())
    assert {"roots", "render.crf", "intake.settle_s", "limits.max_pixels"} <= set(found)


def test_the_file_goes_over_the_default_and_a_variable_over_the_file(write, monkeypatch):
    file = write("log_level = 'error'", "[render]", "crf = 20", "batch_size = 16")
    monkeypatch.setenv("HEYGEMD_RENDER__CRF", "30")
    monkeypatch.setenv("HEYGEMD_LOG_LEVEL", "error")
    found = by_name(file)
    assert (found["render.crf"].value, found["render.crf"].source) == (30, "HEYGEMD_RENDER__CRF")
    assert found["render.crf"].is_overridden
    assert (found["log_level"].source, found["log_level"].is_overridden) == ("HEYGEMD_LOG_LEVEL", False), "the same"
    assert (found["render.batch_size"].source, found["render.batch_size"].value) == (FILE, 16)
    assert found["render.preset"].source == DEFAULT


def test_a_whole_table_may_come_as_a_variable(monkeypatch):
    monkeypatch.setenv("HEYGEMD_RENDER", '{"crf": 3}')
    found = by_name(None)
    assert (found["render.crf"].value, found["render.crf"].source) == (3, "HEYGEMD_RENDER")
    assert found["render.preset"].source == DEFAULT


def test_a_good_configuration_is_told_with_what_will_surprise(write, tmp_path, monkeypatch):
    root = init_root(tmp_path / "root")
    absent, plain = tmp_path / "absent", tmp_path / "plain"
    plain.mkdir()
    file = write(
        f"roots = {json.dumps([str(root.path), str(absent), str(plain)])}", f"state_dir = '{tmp_path}/state'",
        "models_dir = 'weights'", "metrics_file = '/nowhere/at/all.prom'",
    )  # fmt: skip
    monkeypatch.setenv("HEYGEMD_RENDER__CRF", "30")
    checked = check(file, {root.path: root, absent: None, plain: None})
    assert [one.name for one in checked.variables] == ["render.crf"]
    told = "\n".join(warning.english for warning in checked.warnings)
    assert f"{absent} does not exist" in told
    assert f"heygemd init-root {plain}" in told
    assert "models_dir = weights is relative" in told
    assert "/nowhere/at/all.prom: its folder does not exist" in told
    assert len(checked.warnings) == 4
    assert not any(warning.chinese.isascii() for warning in checked.warnings)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["[render]", "engin = 'atlas'"], "did you mean engine?"),
        (["render = {crf = 99}"], "render.crf"),
        (["[render"], "not valid TOML"),
        (["log_level = 'error'"], "no root is configured"),
        (["roots = ['/r']", "state_dir = '/r/state'"], "must not lie inside the root"),
        (["roots = ['/r']", "state_dir = '/proc'"], "must lie on a local disk"),
    ],
)
def test_what_a_start_would_refuse_is_refused(write, lines, words):
    from pathlib import Path

    with pytest.raises(SetupError, match=words.replace("?", r"\?")) as caught:
        check(write(*lines), {Path("/r"): Root(Path("/r"), "u")})
    assert caught.value.code == "E401"


def test_roots_within_each_other_and_copies_are_refused(write, tmp_path):
    file = write(f"roots = ['{tmp_path}/a', '{tmp_path}/a/b']", f"state_dir = '{tmp_path}/state'")
    one, other = Root(tmp_path / "a", "u1"), Root(tmp_path / "a" / "b", "u2")
    with pytest.raises(SetupError, match="inside one another"):
        check(file, {one.path: one, other.path: other})


def test_a_daemon_without_a_place_of_its_own_cannot_wait_for_a_mount(write, tmp_path):
    with pytest.raises(SetupError, match="is no heygemd root"):
        check(write(f"roots = ['{tmp_path}/absent']"), {tmp_path / "absent": None})


def test_the_schema_knows_every_key_and_takes_the_file_of_the_repository(repository):
    told = schema()
    json.dumps(told)
    assert told["additionalProperties"] is False
    written = tomllib.loads((repository / "config/heygemd.toml").read_text())
    assert set(written) <= set(told["properties"])
    tables = {
        name: told["$defs"][part["$ref"].rpartition("/")[2]]
        for name, part in told["properties"].items()
        if "$ref" in part
    }
    assert set(tables) == {"intake", "limits", "render", "outbox", "retention"}
    assert tables["render"]["properties"]["crf"]["maximum"] == 40
    assert all(table["additionalProperties"] is False for table in tables.values())
