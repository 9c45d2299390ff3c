import io

import pytest
from rich.console import Console

from heygemd.live import Bars, FilmBar
from heygemd.scheduler.outcome import JobProgress, Stage


def progress(stage=Stage.RENDER, done=5, total=50, job_id="a-job", fps=25.4):
    return JobProgress(
        job_id=job_id, stage=stage, frames_done=done, frames_total=total, fps=fps, eta_s=None, device="cpu"
    )


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=120)


def test_a_file_gets_one_line_for_each_stage():
    out = io.StringIO()
    with FilmBar(Console(file=out), "[anna].mp4") as bar:
        for stage in (Stage.ANALYSE, Stage.RENDER, Stage.RENDER, Stage.FINISH):
            bar.show((progress(stage),))
    *stages, last = out.getvalue().splitlines()
    assert stages == [
        "[anna].mp4: looking and listening", "[anna].mp4: rendering", "[anna].mp4: joining and checking",
    ]  # fmt: skip
    assert last.startswith("[anna].mp4 is done after ")


def test_without_a_console_nothing_is_said(capsys):
    with FilmBar(None, "anna.mp4") as bar:
        bar.show((progress(),))
    assert capsys.readouterr() == ("", "")


def test_a_film_that_failed_is_not_called_done():
    out = io.StringIO()
    with pytest.raises(RuntimeError), FilmBar(Console(file=out), "anna.mp4"):
        raise RuntimeError
    assert out.getvalue() == ""


def test_a_terminal_shows_a_bar_with_name_stage_and_rate(terminal):
    with FilmBar(terminal, "[anna] {0}.mp4") as bar:
        bar.show((progress(),))
    drawn = terminal.file.getvalue()
    assert "[anna] {0}.mp4" in drawn
    assert "5/50 frames" in drawn
    assert "25 fps" in drawn


def test_a_bar_for_each_film_and_none_for_those_that_are_gone(terminal):
    bars = Bars(terminal)
    bars.show((("anna", progress()), ("bert", progress(job_id="b-job"))))
    assert [task.fields["film"] for task in bars.progress.tasks] == ["anna", "bert"]
    bars.show((("bert", progress(job_id="b-job", done=7)),))
    (task,) = bars.progress.tasks
    assert (task.fields["film"], task.completed) == ("bert", 7)
    bars.show(())
    assert bars.progress.tasks == []


def test_a_new_stage_starts_its_bar_anew(terminal):
    bars = Bars(terminal)
    bars.show((("anna", progress(Stage.ANALYSE, done=50)),))
    bars.show((("anna", progress(Stage.RENDER, done=1, total=0, fps=None)),))
    (task,) = bars.progress.tasks
    assert (task.fields["stage"], task.completed, task.total, task.fields["rate"]) == ("rendering", 1, 1, "")
