"""docs/operations.md is read at 3 a.m.: each command, setting, code and place that it names must exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from heygemd.cli import app
from heygemd.errors import ADVICE
from heygemd.settings import Settings

SECTIONS = {"intake", "limits", "render", "outbox", "retention"}


@pytest.fixture(scope="module")
def handbook(repository: Path) -> str:
    return (repository / "docs" / "operations.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def lines(handbook: str) -> list[list[str]]:
    """Every command line: those of shell blocks, and those within a sentence; split at pipes."""
    blocks = re.findall(r"^```sh\n(.*?)^```", handbook, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", handbook, flags=re.MULTILINE | re.DOTALL))
    found = []
    for text in [line for block in blocks for line in block.splitlines()] + inline:
        words = shlex.split(text.replace("\\|", "|"), comments=True) if text.count("'") % 2 == 0 else text.split()
        found += [part.split("\0") for part in "\0".join(words).split("\0|\0") if part]
    return found


def test_every_code_has_its_line_and_no_other_has(handbook: str) -> None:
    rows = re.findall(r"^\| (E\d{3}) \| (.+) \|$", handbook, re.MULTILINE)
    assert [code for code, _ in rows] == sorted(ADVICE)
    for code, first_look in rows:
        assert len(first_look) > 60, code
        assert ADVICE[code].todo not in first_look, f"{code}: that is only the short advice again"


def test_commands_and_their_options_exist(lines: list[list[str]]) -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a click group
    used = [words[words.index("heygemd") + 1 :] for words in lines if _runs_heygemd(words)]
    assert {words[0] for words in used} >= {"status", "top", "doctor", "config", "models", "retry", "show", "logs"}
    for name, *words in used:
        assert name in known, f"heygemd {name}"
        command = known[name]
        if hasattr(command, "commands"):
            assert words[0] in command.commands, f"heygemd {name} {words[0]}"
            command = command.commands[words[0]]
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("-")} <= options, f"heygemd {name}"


def _runs_heygemd(words: list[str]) -> bool:
    """Tell `heygemd x` and `sudo heygemd x` from what only has heygemd as an argument, or as a user or unit."""
    rest = words[1:] if words[0] == "sudo" else words
    return rest[0] == "heygemd" and len(rest) > 1 and rest[1][0].isalpha()


def test_scripts_and_their_options_exist(lines: list[list[str]], repository: Path) -> None:
    used = [(word, words) for words in lines for word in words if re.fullmatch(r"(?:.*/)?scripts/[a-z_]+\.sh", word)]
    assert len(used) > 5
    for name, words in used:
        script = repository / "scripts" / Path(name).name
        text = script.read_text(encoding="utf-8")
        for option in words[words.index(name) + 1 :]:
            assert not option.startswith("--") or f"    {option})" in text, f"{name} {option}"


def test_settings_that_are_named_exist(handbook: str) -> None:
    named = set(re.findall(rf"\b({'|'.join(SECTIONS)})\.([a-z]\w+)\b", handbook))
    assert len(named) > 8
    for table, name in named - {("outbox", "jpg")}:
        assert name in type(getattr(Settings(), table)).model_fields, f"{table}.{name}"


def test_places_are_those_of_the_installer(handbook: str, repository: Path) -> None:
    layout = (repository / "scripts" / "install" / "layout.sh").read_text(encoding="utf-8")
    for place in ("/opt/heygemd", "/usr/local/bin/heygemd", "/var/lib/heygemd", "/var/log/heygemd", "/srv/heygemd"):
        assert place in handbook
        assert place in layout


def test_links_to_headings_lead_somewhere(handbook: str) -> None:
    headings = {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", handbook, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", handbook)) <= headings


def test_the_settings_of_the_share_are_each_explained(repository: Path) -> None:
    lines = (repository / "systemd" / "smb.conf.example").read_text(encoding="utf-8").splitlines()
    settings = [line for line in lines if line.strip() and not line.strip().startswith(("#", "["))]
    assert "   force user = heygemd" in settings
    assert "   path = /srv/heygemd" in settings
    bare = []
    explained = False
    for line in lines:
        is_setting = line in settings
        if is_setting and not explained and line.split("=")[0].strip() not in ("comment", "path"):
            bare.append(line)
        # A reason holds for the block of settings below it.
        explained = line.strip().startswith("#") or (is_setting and explained)
    assert bare == []
