"""Which configuration a command reads."""

from pathlib import Path

import pytest

from heygemd.commands import options
from heygemd.errors import SetupError


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    """A place for the installed configuration, where nothing lies yet."""
    file = tmp_path / "etc" / "heygemd.toml"
    file.parent.mkdir()
    monkeypatch.setattr(options, "INSTALLED_CONFIG", file)
    return file


def test_without_any_file_the_defaults_hold():
    assert options.config_file(None) is None
    assert options.settings_of(None).roots == ()


def test_the_installed_file_is_read_unless_a_root_is_given(installed):
    installed.write_text('roots = ["/srv/films"]\n')
    assert options.config_file(None) == installed
    assert options.settings_of(None).roots == (Path("/srv/films"),)
    assert options.config_file(None, has_roots=True) is None


def test_the_variable_goes_over_the_installed_file_and_the_option_over_both(installed, tmp_path, monkeypatch):
    installed.write_text("")
    monkeypatch.setenv("HEYGEMD_CONFIG", str(tmp_path / "mine.toml"))
    assert options.config_file(None) == tmp_path / "mine.toml"
    assert options.config_file(tmp_path / "named.toml") == tmp_path / "named.toml"


def test_a_variable_that_names_no_file_is_an_error(monkeypatch):
    monkeypatch.setenv("HEYGEMD_CONFIG", "/nowhere.toml")
    with pytest.raises(SetupError, match=r"/nowhere\.toml does not exist"):
        options.settings_of(None)
