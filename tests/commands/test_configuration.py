"""`heygemd config`."""

import json

import pytest

OK, USAGE, SETUP = 0, 2, 78


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in ("HEYGEMD_RENDER__CRF", "HEYGEMD_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)


def test_a_good_configuration_is_called_valid(call, house):
    for words in ([house.config], ["-c", house.config]):
        found = call("config", "check", *words)
        assert (found.exit_code, found.stdout) == (OK, "the configuration is valid\n")
        assert found.stderr.strip() == str(house.config)


def test_what_overrides_and_what_will_surprise_is_told(call, house, tmp_path, monkeypatch):
    house.config.write_text(house.config.read_text() + f'log_file = "{tmp_path}/absent/x.log"\n[render]\ncrf = 18\n')
    monkeypatch.setenv("HEYGEMD_RENDER__CRF", "30")
    monkeypatch.setenv("HEYGEMD_CONFIG", str(house.config))
    found = call("config", "check")
    assert "$HEYGEMD_CONFIG" in found.stderr
    lines = found.stdout.splitlines()
    assert lines[0] == "HEYGEMD_RENDER__CRF: render.crf = 30 over the file"
    assert lines[1].startswith("mind: log_file")
    told = json.loads(call("config", "check", "--json").stdout)
    assert told["variables"] == {"HEYGEMD_RENDER__CRF": "render.crf"}
    assert len(told["warnings"]) == 1
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert "配置有效" in call("config", "check").stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [("[render]\nengin = 1\n", "did you mean engine?"), ("[render\n", "not valid TOML"), ("", "no root is configured")],
)
def test_a_wrong_one_ends_with_78_and_the_words_of_the_start(call, tmp_path, text, words):
    (tmp_path / "wrong.toml").write_text(text)
    found = call("config", "check", "wrong.toml", "--json")
    assert found.exit_code == SETUP
    assert words in json.loads(found.stdout)["error"]["message"]
    started = call("run", "-c", "wrong.toml")
    assert started.exit_code == SETUP
    assert words in " ".join(started.stderr.split()), "the very same"


def test_a_misspelt_variable_is_wrong_too(call, house, monkeypatch):
    monkeypatch.setenv("HEYGEMD_RENDER__CRFF", "1")
    found = call("config", "check", house.config)
    assert found.exit_code == SETUP
    assert "HEYGEMD_RENDER__CRF?" in found.stderr


def test_a_file_that_is_absent_and_none_at_all(call):
    assert call("config", "check", "absent.toml").exit_code == SETUP
    found = call("config", "check")
    assert found.exit_code == SETUP
    assert "no file" in found.stderr


def test_show_tells_values_and_where_they_come_from(call, house, monkeypatch):
    monkeypatch.setenv("HEYGEMD_LOG_LEVEL", "error")
    found = call("config", "show", "-c", house.config)
    rows = {line.split()[0]: line.split()[1:] for line in found.stdout.splitlines()}
    assert rows["log_level"] == ['"error"', "HEYGEMD_LOG_LEVEL"]
    assert rows["render.crf"] == ["18", "default"]
    assert rows["state_dir"] == [f'"{house.state_dir}"', "file"]
    assert rows["log_file"] == ["not", "set", "default"]
    changed = call("config", "show", "-c", house.config, "--changed").stdout
    assert {line.split()[0] for line in changed.splitlines()[1:]} == {"roots", "state_dir", "log_level"}
    told = json.loads(call("config", "show", "-c", house.config, "--json").stdout)
    assert told["file"] == str(house.config)
    assert {"name", "value", "source", "default", "description"} == set(told["settings"][0])


def test_the_schema_is_json(call):
    assert json.loads(call("config", "schema").stdout)["title"] == "heygemd.toml"
