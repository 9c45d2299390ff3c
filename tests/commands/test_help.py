"""Help, hints, the page that describes all commands, and what a start costs."""

import re
import resource
import subprocess
import sys

import pytest
from typer.main import get_command

from heygemd.cli import app

COMMON = {"--help", "-h"}


def commands():
    """Every command by what is typed, groups taken apart."""
    found = {}
    for name, command in get_command(app).commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {sub}": one for sub, one in inner.items()} if inner else {name: command}
    return found


def options_of(command):
    words = {word for one in command.params for word in (*one.opts, *one.secondary_opts) if word.startswith("-")}
    return words - COMMON


@pytest.mark.parametrize("name", [*commands()])
def test_every_command_has_help_under_two_names_and_says_what_it_does(call, name):
    for option in ("--help", "-h"):
        found = call(*name.split(), option)
        assert found.exit_code == 0
        assert "Usage:" in found.stdout
    assert commands()[name].help.strip().endswith(".")


@pytest.mark.parametrize("name", [one for one in commands() if one != "run"])
def test_every_command_but_the_daemon_speaks_json(name):
    assert "--json" in options_of(commands()[name])


@pytest.mark.parametrize(("typed", "meant"), [("stauts", "status"), ("job", "jobs"), ("confg", "config")])
def test_a_command_that_is_misspelt_is_named(call, typed, meant):
    found = call(typed)
    assert found.exit_code == 2
    assert f"'{meant}'" in found.stderr


def test_an_option_that_is_misspelt_is_named(call):
    found = call("jobs", "--stat", "failed")
    assert found.exit_code == 2
    assert "--state" in found.stderr


# docs/commands.md ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sections(repository):
    """The sections of the page, by the command they describe."""
    text = (repository / "docs/commands.md").read_text()
    parts = re.split(r"^## `heygemd ([a-z -]+)`\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_page_describes_every_command_and_no_other(sections):
    assert set(sections) == set(commands())


@pytest.mark.parametrize("name", [*commands()])
def test_the_page_describes_every_option_and_no_other(sections, name):
    told = set(re.findall(r"(?<![\w`-])`(-[-a-z0-9]*[a-z0-9])", sections[name]))
    assert told == options_of(commands()[name]), name


@pytest.mark.parametrize("name", [*commands()])
def test_the_page_shows_every_command_at_work(sections, name):
    assert re.search(rf"^\$ (sudo )?heygemd {name}\b", sections[name], re.MULTILINE), name


# What a start costs -------------------------------------------------------------------------------------------------


def cpu_s(*words):
    """CPU time of one command in a process of its own; the best of two, because a machine has other things to do."""
    code = "from heygemd.cli import app; app(prog_name='heygemd')"
    best = float("inf")
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


def test_help_and_lists_begin_at_once(house):
    for number in range(5):
        house.add(f"film {number}")
    assert cpu_s("--help") < 1.0
    assert cpu_s("jobs", *house.where) < 1.2
