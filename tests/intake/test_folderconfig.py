"""`.heygemd.toml` and `job.toml`: what they may say, how folders inherit, and what happens when one is wrong."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from heygemd.errors import InputError
from heygemd.intake.folderconfig import (
    ConfigProblem,
    FolderConfig,
    FolderConfigs,
    FolderDefaults,
    read_config,
    read_job_options,
)
from heygemd.intake.settle import SettleRule
from heygemd.jobs.choice import OptionChoice
from heygemd.jobs.job import EngineName, Lane, LengthPolicy, RenderOptions, SilenceRule

RULE = SettleRule(settle_s=3.0, settle_unsure_s=20.0, settle_scans=3, grace_s=600.0, require_commit=False)
DEFAULTS = FolderDefaults(options=RenderOptions(crf=18), rule=RULE, orphan_timeout_s=86_400.0)
NAME = ".heygemd.toml"


def refusal(text: str | bytes, read: Callable[[bytes], FolderConfig] = read_config) -> InputError:
    with pytest.raises(InputError) as caught:
        read(text.encode() if isinstance(text, str) else text)
    return caught.value


class Inbox:
    """An inbox with configurations, looked at as the daemon does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.configs = FolderConfigs(DEFAULTS)

    def write(self, folder: str, text: str) -> None:
        place = self.path / folder / NAME
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(NAME + ".part")
        part.write_text(text)
        part.replace(place)

    def look(self) -> tuple[ConfigProblem, ...]:
        found = {
            "" if place.parent == self.path else str(place.parent.relative_to(self.path)): place.lstat()
            for place in self.path.rglob(NAME)
        }
        return self.configs.note(self.path, found)


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path)


# What a file may say ------------------------------------------------------------------------------------------------


def test_everything_that_a_config_may_say_is_read():
    text = """
    priority = -5
    concurrency = 2
    keep_days = 0
    settle_s = 5
    settle_unsure_s = 7.5
    require_commit = true
    orphan_timeout_s = 3_600

    [options]
    engine = "atlas"
    length = "pingpong"
    silence = "source"
    audio_offset_ms = -40
    face = "index:2"
    idle_motion = false
    detail = false
    crf = 0
    preset = "slow"
    """
    assert read_config(text.encode()) == FolderConfig(
        priority=-5, concurrency=2, keep_days=0, settle_s=5.0, settle_unsure_s=7.5, require_commit=True,
        orphan_timeout_s=3600.0,
        options=OptionChoice(
            engine=EngineName.ATLAS, length=LengthPolicy.AUTO, silence=SilenceRule.SOURCE, audio_offset_ms=-40, crf=0,
            preset="slow", face="index:2", idle_motion=False, detail=False,
        ),
    )  # fmt: skip


@pytest.mark.parametrize("text", ["", "# nothing\n", "\ufeff", "options = {}\n", "[options]\r\n"])
def test_an_empty_config_chooses_nothing(text):
    assert read_config(text.encode()) == FolderConfig()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_config_saved_by_notepad_is_read(encoding):
    assert read_config("priority = 5\r\n".encode(encoding)).priority == 5


def test_options_may_be_written_in_one_line_or_with_dots():
    assert read_config(b"options = {crf = 1}") == read_config(b"options.crf = 1") == read_config(b"[options]\ncrf = 1")


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("priority = ", "E121", "line 1: this is no valid TOML"),
        ("a = 1\nhello world\n", "E121", "line 2: this is no valid TOML"),
        ("priority = 1\npriority = 2\n", "E122", "line 2: this key or table stands there twice"),
        ("[options]\ncrf = 1\n[options]\n", "E122", "line 3: this key or table stands there twice"),
        ("x = 1\nprioritty = 5\n", "E123", "line 1: .heygemd.toml has no key 'x'"),
        ("\nprioritty = 5\n", "E123", "line 2: .heygemd.toml has no key 'prioritty' (did you mean priority?)"),
        ("priority = 1\n[options]\nenigne = 'x'\n", "E123", "line 3: options has no key 'enigne' (did you mean"),
        ("options.crff = 1\n", "E123", "line 1: options has no key 'crff' (did you mean crf?)"),
        ("crf = 16\n", "E123", "line 1: crf belongs below the line [options]"),
        ("[option]\ncrf = 1\n", "E123", "line 1: .heygemd.toml has no key 'option' (did you mean options?)"),
        ("priority = '5'\n", "E124", "line 1: priority is a whole number from -1000 to 1000: take the quotes away"),
        ("priority = 5.0\n", "E124", "line 1: priority is a whole number"),
        ("priority = true\n", "E124", "line 1: priority is a whole number from -1000 to 1000, not 'true'"),
        ("priority = 1001\n", "E124", "line 1: priority is a whole number from -1000 to 1000, not '1001'"),
        ("concurrency = 0\n", "E124", "line 1: concurrency is a whole number from 1"),
        ("keep_days = -1\n", "E124", "line 1: keep_days is a whole number from 0"),
        ("require_commit = 1\n", "E124", "line 1: require_commit is true or false"),
        ("require_commit = 'yes'\n", "E124", "line 1: require_commit is true or false"),
        ("settle_s = 0\n", "E124", "line 1: settle_s is a number of seconds, more than 0"),
        ("settle_s = nan\n", "E124", "line 1: settle_s is a number of seconds"),
        ("settle_s = inf\n", "E124", "line 1: settle_s is a number of seconds"),
        ("settle_s = '5'\n", "E124", "line 1: settle_s is a number of seconds"),
        ("orphan_timeout_s = 12:30:00\n", "E124", "line 1: orphan_timeout_s is a number of seconds"),
        ("[options]\nengine = 2024-01-01\n", "E124", "line 2: engine is a text"),
        ("options = 5\n", "E124", "line 1: options has keys and values"),
        ("[[options]]\ncrf = 1\n", "E124", "options has keys and values, not a list"),
        ("[options]\nface = 'index:0'\n", "E124", "line 2: face is one of main, largest, left, right, or index:1 to"),
        ("[options]\nface = 'lefft'\n", "E124", "not 'lefft' (did you mean left?)"),
        ("[options]\nidle_motion = 'no'\n", "E124", "line 2: idle_motion is true or false"),
        ("[options]\ncrf = 41\n", "E124", "line 2: crf is a whole number from 0 to 40"),
        ("[options.crf]\nx = 1\n", "E124", "crf is a whole number from 0 to 40, not keys and values"),
        (f"priority = 0x{'f' * 9000}\n", "E124", "line 1: priority is a whole number"),
        (f"priority = {'9' * 9000}\n", "E121", "this is no valid TOML"),
        ("a = " + "[" * 5000, "E125", "this is nested too deeply"),
        ("a." * 100 + "a = 1", "E125", "line 1: this is nested too deeply"),
        ("priority = 5\0", "E120", "holds a zero byte"),
        (b"# caf\xe9\n", "E120", "is not UTF-8"),
        ("#" * 70_000, "E120", "larger than 64 KiB"),
    ],
)  # fmt: skip
def test_a_wrong_config_is_refused_in_a_sentence_with_its_line(text, code, message):
    error = refusal(text)
    assert error.code == code
    assert message in error.message
    assert error.message.isprintable()


def test_a_job_chooses_priority_options_and_retention_only():
    config = read_job_options(b"priority = 3\nkeep_days = 7\n[options]\ncrf = 20\n")
    assert config == FolderConfig(priority=3, keep_days=7, options=OptionChoice(crf=20))
    for key in (
        "concurrency = 1",
        "settle_s = 1",
        "settle_unsure_s = 1",
        "require_commit = true",
        "orphan_timeout_s = 1",
    ):
        error = refusal(f"\n{key}\n", read_job_options)
        assert error.code == "E123"
        assert error.message.startswith(f"line 2: {key.split()[0]} belongs into .heygemd.toml")
    assert "job.toml has no key 'prio'" in refusal("prio = 1\n", read_job_options).message


# Inheritance --------------------------------------------------------------------------------------------------------


def test_a_folder_inherits_key_by_key_from_every_folder_above(inbox):
    inbox.write("", "priority = 1\nkeep_days = 30\nsettle_s = 10\n[options]\ncrf = 20\nengine = 'atlas'\n")
    inbox.write("a/b", "priority = 2\nrequire_commit = true\norphan_timeout_s = 60\n[options]\ncrf = 25\n")
    assert inbox.look() == ()
    top, middle, inner = (inbox.configs.rules(folder) for folder in ("", "a", "a/b/c"))
    assert top == middle
    assert (top.priority, top.keep_days, top.rule.settle_s, top.orphan_timeout_s) == (1, 30, 10.0, 86_400.0)
    assert (inner.priority, inner.keep_days, inner.rule.settle_s, inner.orphan_timeout_s) == (2, 30, 10.0, 60.0)
    assert (top.rule.require_commit, inner.rule.require_commit) == (False, True)
    assert inner.rule.settle_scans == RULE.settle_scans
    assert inner.options == RenderOptions(crf=25, engine=EngineName.ATLAS)


def test_a_folder_whose_name_begins_alike_inherits_nothing(inbox):
    inbox.write("a", "priority = 9\n")
    inbox.look()
    assert [inbox.configs.rules(folder).priority for folder in ("a", "a/x", "ab", "", "b/a")] == [9, 9, 0, 0, 0]


def test_the_lane_is_that_of_the_nearest_folder_with_a_concurrency(inbox):
    inbox.write("a", "concurrency = 4\n")
    inbox.write("a/b", "concurrency = 1\n")
    inbox.write("a/b/c", "priority = 1\n")
    inbox.look()
    lanes = [inbox.configs.rules(folder).lane for folder in ("", "a", "a/x", "a/b/c/d")]
    assert lanes == [None, Lane(folder="a", most=4), Lane(folder="a", most=4), Lane(folder="a/b", most=1)]


def test_an_inner_folder_may_put_back_what_an_outer_one_changed(inbox):
    inbox.write("", "priority = 5\nrequire_commit = true\n[options]\ncrf = 30\n")
    inbox.write("x", "priority = 0\nrequire_commit = false\n[options]\ncrf = 0\n")
    inbox.look()
    rules = inbox.configs.rules("x")
    assert (rules.priority, rules.rule.require_commit, rules.options.crf) == (0, False, 0)


# From look to look --------------------------------------------------------------------------------------------------


def test_without_any_config_the_settings_hold(inbox):
    rules = inbox.configs.rules("anywhere/below")
    assert (rules.options, rules.rule, rules.priority, rules.lane, rules.keep_days) == (
        DEFAULTS.options,
        RULE,
        0,
        None,
        None,
    )


def test_a_changed_config_holds_from_the_next_look(inbox):
    inbox.write("", "priority = 1\n")
    inbox.look()
    inbox.write("", "priority = 2\n")
    assert inbox.configs.rules("").priority == 1
    inbox.look()
    assert inbox.configs.rules("").priority == 2


def test_a_removed_config_holds_no_longer(inbox):
    inbox.write("a", "priority = 1\n")
    inbox.look()
    (inbox.path / "a" / NAME).unlink()
    inbox.look()
    assert inbox.configs.rules("a").priority == 0


def test_an_unchanged_config_is_not_read_again(inbox, monkeypatch):
    inbox.write("", "priority = 1\n")
    inbox.write("bad", "priority = x\n")
    inbox.look()
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("it was opened"))
    assert inbox.look() == ()
    assert inbox.configs.rules("").priority == 1
    assert list(inbox.configs.problems) == ["bad"]


def test_a_config_that_becomes_wrong_leaves_its_last_good_in_force(inbox):
    inbox.write("a", "priority = 7\n")
    inbox.look()
    inbox.write("a", "priority = 8\nprioritty = 9\n")
    (problem,) = inbox.look()
    assert (problem.folder, problem.code) == ("a", "E123")
    assert inbox.configs.rules("a").priority == 7
    inbox.write("a", "priority = 9\n")
    assert inbox.look() == ()
    assert (inbox.configs.rules("a").priority, inbox.configs.problems) == (9, {})


def test_a_config_that_was_never_right_leaves_the_folder_above_in_force(inbox):
    inbox.write("", "priority = 3\n")
    inbox.write("a", "priority = high\n")
    inbox.look()
    assert inbox.configs.rules("a").priority == 3


def test_a_wrong_config_that_is_removed_is_no_problem_any_more(inbox):
    inbox.write("a", "x")
    inbox.look()
    (inbox.path / "a" / NAME).unlink()
    inbox.look()
    assert inbox.configs.problems == {}


def test_the_same_problem_is_told_once(inbox):
    inbox.write("a", "x = 1\n")
    assert len(inbox.look()) == 1
    inbox.write("a", "x = 1\n")
    assert inbox.look() == ()
    inbox.write("a", "y = 1\n")
    assert len(inbox.look()) == 1


def test_the_text_for_people_is_english_and_chinese_with_windows_line_ends(inbox):
    inbox.write("a", "priority = 1\nprioritty = 9\n")
    inbox.look()
    text = inbox.configs.problems["a"]
    assert text.startswith("heygemd ")
    assert "line 2: .heygemd.toml has no key 'prioritty' (did you mean priority?) (E123)\r\n" in text
    assert "不存在这样的键" in text
    assert "What to do:" in text
    assert "处理方法" in text
    assert text.endswith("\r\n")
    assert text.replace("\r\n", "").isprintable()


@pytest.mark.parametrize("code", ["E120", "E121", "E122", "E123", "E124", "E125"])
def test_every_code_has_a_text_that_does_not_speak_of_manifests(code):
    text = ConfigProblem(folder="", code=code, message="line 1: something").text
    assert code in text
    assert "清单" not in text


# Strangers ----------------------------------------------------------------------------------------------------------


def test_a_link_is_never_followed(inbox, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.toml"
    secret.write_text("priority = 9\n")
    (inbox.path / NAME).symlink_to(secret)
    (problem,) = inbox.look()
    assert (problem.code, "it is a link" in problem.message) == ("E120", True)
    assert inbox.configs.rules("").priority == 0


def test_a_pipe_is_never_waited_for(inbox):
    os.mkfifo(inbox.path / NAME)
    (problem,) = inbox.look()
    assert (problem.code, "no regular file" in problem.message) == ("E120", True)


def test_a_large_file_is_not_read_whole(inbox):
    with (inbox.path / NAME).open("wb") as file:
        file.truncate(1 << 40)
    (problem,) = inbox.look()
    assert (problem.code, "64 KiB" in problem.message) == ("E120", True)


def test_a_config_that_is_being_written_waits_for_its_writer(inbox):
    inbox.write("", "priority = 1\n")
    inbox.look()
    with (inbox.path / NAME).open("w") as file:
        file.write("priority = 2\n")
        file.flush()
        assert inbox.look() == ()
        assert inbox.configs.rules("").priority == 1
    inbox.look()
    assert inbox.configs.rules("").priority == 2


def test_a_config_that_changed_since_the_look_is_read_at_the_next(inbox):
    inbox.write("", "priority = 1\n")
    old = {"": (inbox.path / NAME).lstat()}
    inbox.write("", "priority = 2\n")
    assert inbox.configs.note(inbox.path, old) == ()
    assert inbox.configs.rules("").priority == 0
    inbox.look()
    assert inbox.configs.rules("").priority == 2


def test_a_config_that_went_away_since_the_look_is_no_problem(inbox):
    inbox.write("a", "priority = 1\n")
    old = {"a": (inbox.path / "a" / NAME).lstat()}
    (inbox.path / "a" / NAME).unlink()
    assert inbox.configs.note(inbox.path, old) == ()
    assert inbox.configs.problems == {}


def test_a_config_that_cannot_be_opened_is_a_problem(inbox, monkeypatch):
    inbox.write("", "priority = 1\n")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    (problem,) = inbox.look()
    assert (problem.code, "permission denied" in problem.message) == ("E120", True)


def test_a_share_that_fails_leaves_everything_as_it_is(inbox, monkeypatch):
    inbox.write("", "priority = 1\n")
    inbox.look()
    inbox.write("", "priority = 2\n")

    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        assert inbox.look() == ()
    assert inbox.configs.rules("").priority == 1
    inbox.look()
    assert inbox.configs.rules("").priority == 2
