"""What <Tab> offers, and that it never complains."""

import os
import subprocess
import sys

import pytest
import typer
from typer.main import get_command

from heygemd.cli import app
from heygemd.commands.completion import complete_root, complete_state


@pytest.fixture
def offered():
    """A function that returns what is offered behind these words."""

    def complete(*words):
        *before, incomplete = [str(word) for word in words]
        command = get_command(app)
        context = command.make_context("heygemd", before, resilient_parsing=True)
        while isinstance(context.command, typer.core.TyperGroup) and context._protected_args:
            name, *rest = [*context._protected_args, *context.args]
            inner = context.command.get_command(context, name)
            context = inner.make_context(name, rest, parent=context, resilient_parsing=True)
        (argument,) = [one for one in context.command.params if one.name == "job"]
        return [item.value for item in argument.shell_complete(context, incomplete)]

    return complete


def test_jobs_are_offered_by_their_short_id_the_newest_first(offered, house):
    first, second = house.add("first"), house.add("second", "failed")
    assert offered("show", *house.where, "") == [second.id8, first.id8]
    assert offered("show", *house.where, second.id8[:3]) == [second.id8]
    assert offered("show", *house.where, "zz9") == []


def test_a_film_is_offered_by_its_name_when_its_letters_are_typed(offered, house):
    house.add("你好")
    house.add("two words")
    house.add("-rf")
    house.add("evil\x1b[31m")
    house.add("$(reboot)")
    assert offered("show", *house.where, "你") == ["你好"]
    for letter in ("t", "-r", "evil", "$"):
        assert offered("show", *house.where, letter) == [], "what a shell would take apart is not offered"


def test_retry_offers_what_failed_and_cancel_what_has_not_ended(offered, house):
    failed, waiting, running = house.add("a", "failed"), house.add("b"), house.add("c", "running")
    house.add("d", "running", "done")
    assert offered("retry", *house.where, "") == [failed.id8]
    assert set(offered("cancel", *house.where, "")) == {waiting.id8, running.id8}


def test_without_a_store_nothing_is_offered_and_nothing_said(offered, tmp_path, capsys):
    assert offered("show", "") == []
    assert offered("show", "--state-dir", tmp_path, "") == []
    (tmp_path / "jobs.sqlite").write_bytes(b"no store" * 1000)
    assert offered("show", "--state-dir", tmp_path, "") == []
    (tmp_path / "wrong.toml").write_text("[render\n")
    assert offered("show", "-c", tmp_path / "wrong.toml", "") == []
    assert capsys.readouterr() == ("", "")


def test_states_and_roots_are_offered(house, monkeypatch):
    assert complete_state("") == ["queued", "running", "done", "failed", "cancelled"]
    assert complete_state("f") == ["failed"]
    assert complete_root("") == []
    monkeypatch.setenv("HEYGEMD_CONFIG", str(house.config))
    assert complete_root("/") == [str(house.root.path)]
    assert complete_root("/nowhere") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_form(house, shell):
    job = house.add("film")
    words = f"heygemd show --state-dir {house.state_dir} {job.id8[:4]}"
    asked = {
        "_HEYGEMD_COMPLETE": f"complete_{shell}", "COMP_WORDS": words, "COMP_CWORD": "4", "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }  # fmt: skip
    run = subprocess.run(
        [sys.executable, "-c", "from heygemd.cli import app; app(prog_name='heygemd')"], env={**os.environ, **asked},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert run.stderr == ""
    assert job.id8 in run.stdout
