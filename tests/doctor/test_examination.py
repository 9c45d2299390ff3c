"""The examination as a whole: its order, checks that hang or break, and the command itself."""

import json
import os
import subprocess
import sys
import time

import pytest
from rich.console import Console

from heygemd.doctor.account import find_account
from heygemd.doctor.examination import Check, carry_out, is_sound
from heygemd.doctor.finding import Finding, Level, bad, from_error, good, warning
from heygemd.doctor.patience import BrokenCallError, StillWaitingError, begin, bounded
from heygemd.doctor.sheet import show
from heygemd.errors import SetupError
from heygemd.intake.roots import init_root
from tests.processes import is_alive


def hanging():
    yield good("first", "seen")
    time.sleep(60)
    yield good("second", "never")


def breaking():
    yield good("first", "seen")
    raise ValueError("a bug of ours")


def dying():
    yield good("first", "seen")
    os._exit(3)


def closed():
    raise PermissionError(13, "Permission denied", "/var/lib/heygemd/jobs.sqlite")
    yield


def checks(*looks, limit_s=0.3):
    return [Check(group="test", subject=look.__name__, look=look, limit_s=limit_s) for look in looks]


def test_a_check_that_hangs_or_breaks_does_not_stop_the_next():
    began_s = time.monotonic()
    found = carry_out(checks(hanging, breaking, dying, closed, lambda: [good("last", "seen")]))
    assert time.monotonic() - began_s < 5
    assert [(finding.subject, finding.level.value, finding.code) for finding in found] == [
        ("first", "ok", None), ("hanging", "bad", "E201"),
        ("first", "ok", None), ("breaking", "bad", "E500"),
        ("first", "ok", None), ("dying", "bad", "E500"),
        ("closed", "warning", "E407"),
        ("last", "ok", None),
    ]  # fmt: skip
    assert found[3].message == "the check itself failed: ValueError: a bug of ours"
    assert found[6].fix == "sudo heygemd doctor"
    assert {finding.group for finding in found} == {"test"}


def test_checks_run_at_the_same_time():
    def slow():
        time.sleep(0.4)
        yield good("slow", "done")

    began_s = time.monotonic()
    assert len(carry_out(checks(*[slow] * 6, limit_s=5))) == 6
    assert time.monotonic() - began_s < 1.6


def test_a_dead_share_is_told_once():
    def check(group, subject):
        return Check(group=group, subject=subject, look=hanging, limit_s=0.2)

    found = carry_out([check("roots", "root /mnt/a"), check("roots", "roots"), check("clock", "clock of /mnt/a")])
    (finding,) = [finding for finding in found if finding.level is Level.BAD]
    assert finding.subject == "root /mnt/a"
    assert finding.fix == "sudo umount -l /mnt/a && sudo mount /mnt/a"


def test_a_call_gives_its_value_or_its_error_and_is_ended_when_it_takes_too_long():
    assert bounded(lambda: 41 + 1, limit_s=5) == 42
    with pytest.raises(SetupError, match="wrong"):
        bounded(lambda: (_ for _ in ()).throw(SetupError("E401", "wrong")), limit_s=5)
    with pytest.raises(BrokenCallError, match="ZeroDivisionError"):
        bounded(lambda: 1 / 0, limit_s=5)
    with pytest.raises(StillWaitingError):
        bounded(lambda: time.sleep(60), limit_s=0.1)


def test_what_a_call_started_ends_with_it():
    out, into = os.pipe()

    def call():
        started = subprocess.Popen(["sleep", "60"])
        os.write(into, f"{started.pid}\n".encode())
        time.sleep(60)
        return ()

    child = begin(call, limit_s=5)
    os.close(into)
    with os.fdopen(out) as pipe:
        grandchild = int(pipe.readline())
    assert is_alive(grandchild)
    child.end()
    child.end()
    ends_s = time.monotonic() + 10
    while is_alive(grandchild):
        assert time.monotonic() < ends_s, "what the call had started is still there"
        time.sleep(0.01)


def test_a_call_as_somebody_else_has_his_rights_and_no_others():
    if os.geteuid() != 0:
        pytest.skip("needs root: only root becomes somebody else")
    nobody = find_account("nobody")
    asked = bounded(lambda: (os.getresuid(), os.getresgid(), set(os.getgroups())), limit_s=5, account=nobody)
    assert asked == ((nobody.uid,) * 3, (nobody.gid,) * 3, set(nobody.groups | {nobody.gid}))
    assert os.geteuid() == 0


def test_a_large_answer_arrives_whole():
    assert len(bounded(lambda: b"x" * (3 << 20), limit_s=10)) == 3 << 20


def test_a_hanging_call_in_a_call_is_told_as_hanging():
    def outer():
        yield bounded(lambda: time.sleep(60), limit_s=0.1)

    assert begin(outer, limit_s=5).hear().end == "hanging"


def test_warnings_alone_leave_a_setup_sound():
    assert is_sound([good("a", "x"), warning("b", "y")])
    assert not is_sound([good("a", "x"), bad("b", "y", code="E401", fix="z")])


def test_a_finding_is_plain_json():
    finding = from_error("device", SetupError("E406", "none"))
    assert json.loads(json.dumps(finding.as_dict())) == {
        "group": "", "subject": "device", "level": "bad", "message": "none", "code": "E406",
        "fix": "Check the driver (nvidia-smi), or set require_gpu = false.",
    }  # fmt: skip


FINDINGS = [
    good("python", "3.11"),
    Finding(subject="root /a[b]", level=Level.BAD, message="closed", message_zh="无权", code="E201", fix="chown x",
            fix_zh="请 chown x", group="roots"),
    warning("clock", "unkept", "未同步", code="E401", fix="set it"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        (
            "C.UTF-8",
            ["!! E201 root /a[b]: closed", "   → chown x", "?? E401 clock: unkept", "1 broken, 1 to look after."],
        ),
        (
            "zh_CN.UTF-8",
            ["!! E201 root /a[b]: 无权", "   → 请 chown x", "?? E401 clock: 未同步", "1 项故障，1 项需注意。"],
        ),
    ],
)
def test_a_person_reads_it_in_his_language_and_can_copy_the_fix(language, lines, monkeypatch, capsys):
    monkeypatch.setenv("LC_ALL", language)
    show(FINDINGS, Console(width=30))
    told = capsys.readouterr().out.splitlines()
    assert [line for line in told if line in lines] == lines


@pytest.mark.ffmpeg
def test_the_command_is_content_with_a_good_setup(tmp_path):
    """The real program, the real torch, the real machine."""
    root = init_root(tmp_path / "films").path
    argv = [
        sys.executable,
        "-m",
        "heygemd",
        "doctor",
        "--json",
        "--root",
        str(root),
        "--state-dir",
        str(tmp_path / "s"),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    found = json.loads(done.stdout)
    assert (done.returncode, [finding for finding in found if finding["level"] == "bad"]) == (0, [])
    by_subject = {finding["subject"]: finding for finding in found}
    assert by_subject["torch"]["message"].startswith("2.")
    assert by_subject[f"root {root}"]["level"] == "ok"
    assert not (tmp_path / "s").exists()


def test_the_command_ends_with_78_and_names_the_broken_file(tmp_path):
    (tmp_path / "bad.toml").write_text("[render]\nengin = 5\n")
    argv = [sys.executable, "-m", "heygemd", "doctor", "--quick", "-c", "bad.toml"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 78
    assert "!! E401 configuration: bad.toml: render.engin" in done.stdout
    assert "→ correct bad.toml, then: heygemd config check" in done.stdout
    assert "ok python: " in done.stdout
    assert done.stderr == ""
