"""The bench of our own films: its arithmetic on made-up figures, and the whole of it once on a tiny clip."""

import json
import os
import shlex
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

MB = 1_000_000


@pytest.fixture
def parts(repository, monkeypatch):
    """The modules of `scripts/bench`."""
    monkeypatch.syspath_prepend(str(repository / "scripts"))
    from bench import floors, renderfigures, sums, tables, tree, warm

    return SimpleNamespace(floors=floors, figures=renderfigures, sums=sums, tables=tables, tree=tree, warm=warm)


# Arithmetic ----------------------------------------------------------------------------------------------------------


def test_a_line_is_found_again_through_noise_that_cancels(parts):
    points = [(250, 2 + 250 * 0.04 + 0.1), (250, 2 + 250 * 0.04 - 0.1), (1500, 2 + 1500 * 0.04)]
    line = parts.sums.fit_line(points)
    assert (line.fixed, line.per_frame) == (pytest.approx(2), pytest.approx(0.04))
    assert line.at(1000) == pytest.approx(42)


def test_films_of_one_length_tell_no_cost_per_frame(parts):
    with pytest.raises(ValueError, match="two lengths"):
        parts.sums.fit_line([(250, 10.0), (250, 11.0)])


def test_the_sums_count_the_decoder_as_often_as_it_is_promised(parts):
    floors = {"decode": 1.0, "follow": 10.0, "forward": 100.0, "encode": 1000.0, "decode film": 10_000.0, "other": 5.0}
    assert parts.sums.sum_of(floors, parts.sums.ONCE_EACH) == 1111
    assert parts.sums.sum_of(floors, parts.sums.AS_PROMISED) == 11_112


@pytest.mark.parametrize(
    ("engine", "names"),
    [
        ("wav2lip", ("decode", "follow", "forward", "encode")),
        ("atlas", ("decode", "follow", "encode")),
        ("passthrough", ("decode", "encode")),
    ],
)
def test_an_engine_has_the_floors_of_what_it_does(parts, engine, names):
    assert parts.sums.floors_of(engine, parts.sums.ONCE_EACH) == names


def test_a_median_is_of_the_rounds_that_have_the_figure(parts):
    assert parts.sums.medians([{"a": 1.0, "b": 5.0}, {"a": 9.0}, {"a": 2.0}]) == {"a": 2.0, "b": 5.0}


def test_a_slow_program_is_told_from_the_difference_of_two_runs(parts):
    told = parts.sums.extrapolate((8, 100.0), (16, 180.0))
    assert (told.line.per_frame, told.line.fixed) == (10, 20)
    assert told.of(250) == 2520
    assert str(told) == "extrapolated from runs of 8 and 16 frames"


@pytest.mark.parametrize("many", [(8, 200.0), (16, 90.0)])
def test_runs_that_tell_nothing_are_refused(parts, many):
    with pytest.raises(ValueError, match="run"):
        parts.sums.extrapolate((8, 100.0), many)


# Our own films -------------------------------------------------------------------------------------------------------


def film(parts, *, frames, render_s=(0.02, 0.01), wall_s=4.0, pss_mb=500):
    """A film whose probe takes 0.3 s and whose render takes so much a frame, of worker and children."""
    cpu, step = parts.tree.Cpu, parts.warm.Step
    own_s, children_s = (frames * each for each in render_s)
    steps = {
        "probe": step(cpu=cpu(0.1, 0.2), wall_s=0.2),
        "render": step(cpu=cpu(own_s, children_s), wall_s=wall_s, stage_s={"decode": 1.0, "encode": 2.0}),
    }
    return parts.warm.Film(
        frames=frames, film_s=frames / 25, steps=steps, pss_bytes=pss_mb * MB, rss_bytes=2 * pss_mb * MB, vram_bytes=0
    )


@pytest.fixture
def result(parts):
    """Two rounds, floors of 10 ms in all for what is done once."""
    floors = {"decode": 0.001, "follow": 0.002, "forward": 0.003, "encode": 0.004, "decode film": 0.001}
    films = {
        length: [film(parts, frames=frames), film(parts, frames=frames, wall_s=6.0, pss_mb=700)]
        for length, frames in ((10, 250), (30, 750))
    }
    rounds = parts.figures.Rounds(engine="wav2lip", floors=[floors, floors], films=films, way="torch bfloat16")
    started = {"start_cpu_s": 1.5, "first_start_cpu_s": 4.0, "first_film_extra_s": 0.25}
    return {**parts.figures.figures(rounds), "worker": started}


def test_a_task_that_costs_the_same_for_any_length_is_start_up(result):
    lines = result["lines"]
    assert (lines["probe"]["per_frame_s"], lines["probe"]["fixed_s"]) == (pytest.approx(0), pytest.approx(0.3))
    assert (lines["render"]["per_frame_s"], lines["render"]["fixed_s"]) == (pytest.approx(0.03), pytest.approx(0))
    assert (lines["film"]["per_frame_s"], lines["film"]["fixed_s"]) == (pytest.approx(0.03), pytest.approx(0.3))


def test_ours_is_divided_by_both_sums(result):
    assert result["sums"]["once each"]["floor_s"] == pytest.approx(0.010)
    assert result["sums"]["once each"]["ratio"] == pytest.approx(3)
    assert result["sums"]["as promised"]["floor_s"] == pytest.approx(0.012)
    assert result["sums"]["as promised"]["ratio"] == pytest.approx(2.5)


def test_a_film_has_medians_and_its_real_time_factor(result):
    first = result["films"][0]
    assert (first["cpu_s"], first["wall_s"], first["pss_bytes"]) == (pytest.approx(7.8), 5.2, 600 * MB)
    assert first["realtime_factor"] == pytest.approx(0.52)
    assert first["steps"]["render"]["children_s"] == pytest.approx(2.5)


def test_tables_are_markdown_with_every_figure_in_its_place(parts, result):
    page = parts.tables.as_markdown(parts.figures.sheets(json.loads(json.dumps(result))))
    assert "| forward | 3.0 | torch bfloat16 |" in page
    assert "| once each (decode + follow + forward + encode) | 10.0 | 30.0 | 3.00 × |" in page
    assert "| render | 30.0 | 8.0 | 0.00 |" in page
    assert "| film | 30.0 | 12.0 | 0.30 |" in page
    assert "| 30 s | 22.80 | 0.00 | 5.20 | 0.17 | 600 | 1200 | – |" in page
    assert "| render | 15.00 | 7.50 | 5.00 | decode 1.00, encode 2.00 |" in page
    assert "1.50 CPU s to start (4.00 the very first time on a machine), 0.25 more" in page
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} <= {4, 5, 6, 9}


def test_a_bar_in_a_cell_does_not_break_a_table(parts):
    sheet = parts.tables.Sheet(title="T", head=("a", "b"), rows=[("x|y", "1")])
    assert parts.tables.as_markdown([sheet]).splitlines()[-1] == "| x\\|y | 1 |"


def test_tables_come_between_their_marks_and_nowhere_else(parts):
    page = "a\n<!-- one -->\nold\n<!-- /one -->\nb\n<!-- two -->\n<!-- /two -->\n"
    once = parts.tables.put_into(page, "one", "new\n")
    assert once == "a\n<!-- one -->\n\nnew\n\n<!-- /one -->\nb\n<!-- two -->\n<!-- /two -->\n"
    assert parts.tables.put_into(once, "one", "new\n") == once
    with pytest.raises(ValueError, match="no <!-- three -->"):
        parts.tables.put_into(page, "three", "new")


def test_the_page_has_a_place_for_every_table(parts, repository):
    page = (repository / "docs" / "performance.md").read_text(encoding="utf-8")
    for name in ("wav2lip-1080p", "wav2lip-native", "atlas-1080p", "peer-box", "peer-detection"):
        assert "NEW" in parts.tables.put_into(page, name, "NEW")


# The encoder's and decoder's own words -------------------------------------------------------------------------------

ENCODER = shlex.split(
    "/usr/bin/ffmpeg -v info -f rawvideo -framerate 25 -pixel_format nv12 -video_size 64x48 -i pipe:0 "
    "-f mp4 -c:v libx264 -preset veryfast -threads 2 /dev/fd/9"
)
DECODER = shlex.split("/usr/bin/ffmpeg -f mov -threads 3 -i /dev/fd/5 -threads 7 -f yuv4mpegpipe pipe:1")


def test_the_encoder_floor_is_the_products_own_command_on_a_file(parts, tmp_path):
    commands = parts.floors.Commands(DECODER, ENCODER)
    raw, out = tmp_path / "frames.raw", tmp_path / "out.mp4"
    words = commands.encode(raw, out, 30, preset="medium")
    assert words[-3:] == ["-frames:v", "30", str(out)]
    assert words[words.index("-i") + 1] == str(raw)
    assert words[words.index("-preset") + 1] == "medium"
    assert "pipe:0" not in words and "/dev/fd/9" not in words
    assert commands.encode(raw, out, 30)[:-4] == [str(raw) if word == "pipe:0" else word for word in ENCODER[:-1]][:-1]


def test_forms_and_threads_are_read_from_the_commands(parts):
    commands = parts.floors.Commands(DECODER, ENCODER)
    assert commands.raw_form == ("rawvideo", "nv12")
    assert (commands.decoder_threads, commands.decoder_form) == ("3", "yuv4mpegpipe")
    assert parts.floors.Commands(["ffmpeg", "-i", "x"], ENCODER).decoder_threads == "0"


# The network by itself -----------------------------------------------------------------------------------------------


class FakeEvent:
    """The clock of a card on which every step takes as long as the ones before it together, and one more."""

    made = 0

    def __init__(self, *, enable_timing):
        assert enable_timing
        FakeEvent.made += 1
        self.place = FakeEvent.made
        self.is_recorded = False

    def record(self):
        self.is_recorded = True

    def elapsed_time(self, end):
        assert self.is_recorded and end.is_recorded
        return 2.0**end.place - 2.0**self.place


@pytest.fixture
def alone(script):
    return script("bench/alone")


def test_a_card_is_timed_by_its_own_clock_step_by_step(alone, monkeypatch):
    torch = alone.torch
    monkeypatch.setattr(FakeEvent, "made", 0)
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(alone, "CARD_BATCH", 2)
    monkeypatch.setattr(alone, "ROUNDS", 1)
    found = alone.on_card(alone.merged(), "cpu")
    assert [found[name] for name in ("copy_there_ms", "gpu_ms", "copy_back_ms")] == [1, 2, 4]
    assert found["way"] == "torch float16, a card"
    assert found["cpu_s"] > 0


def test_the_floor_of_the_network_is_the_published_one(alone):
    """Normalisations are merged, nothing is cut off and nothing is changed."""
    from heygemd.render.wav2lip.untrained import untrained_network

    mel, faces = alone.some_input(2)
    merged = alone.merged()
    with alone.torch.inference_mode():
        painted, exact = merged(mel, faces), untrained_network()(mel, faces)
    assert painted.shape == (2, 3, 96, 96)
    assert float((painted - exact).abs().max()) < 1e-4
    assert not any(isinstance(module, alone.torch.nn.BatchNorm2d) for module in merged.modules())


# The tree of processes -----------------------------------------------------------------------------------------------


def test_a_stat_line_is_read_whatever_the_process_is_called(parts):
    line = "7 (a) b ( c) S 1 7 7 0 -1 4194304 1 2 3 4 100 20 300 4 20 0 1 0 5 6 7"
    cpu = parts.tree.parse_stat(line)
    assert (cpu.own_s, cpu.children_s) == (pytest.approx(1.2), pytest.approx(3.04))


ENOUGH_S = 0.2
"""Of what BUSY takes; ticks are counted on both sides."""
BUSY = "import time\nwhile time.process_time() < 0.3: pass\n"


def test_a_run_counts_what_its_children_burn_and_hold(parts, tmp_path):
    child = f"import subprocess, sys\nblock = bytearray(50_000_000)\nsubprocess.run([sys.executable, '-c', {BUSY!r}])\n"
    log = tmp_path / "log"
    ran = parts.tree.run([sys.executable, "-c", child + "print('done')\nsys.exit(4)"], log=log)
    assert (ran.exit_status, log.read_text()) == (4, "done\n")
    assert ENOUGH_S <= ran.cpu_s < 3
    assert 50 * MB < ran.pss_bytes < ran.rss_bytes < 500 * MB


def test_a_living_process_is_counted_with_the_children_that_still_run(parts):
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r} + 'input()'])"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    try:
        ends_s = time.monotonic() + 30
        while (seen_s := parts.tree.cpu_of(process.pid).children_s) < ENOUGH_S and time.monotonic() < ends_s:
            os.sched_yield()
        assert seen_s >= ENOUGH_S
    finally:
        process.communicate(b"\n")
    assert parts.tree.cpu_of(process.pid).total_s == 0


# Whole scripts -------------------------------------------------------------------------------------------------------


def called(repository, name, *words):
    argv = [sys.executable, str(repository / "scripts" / name), *map(str, words)]
    run = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=repository)
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    clip = tmp_path_factory.mktemp("clip") / "bars.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25", "-frames:v", "25", "-pix_fmt", "yuv420p"]
    subprocess.run(["ffmpeg", "-v", "error", *source, clip], check=True)
    return clip


@pytest.mark.ffmpeg
@pytest.mark.slow
def test_bench_render_measures_floors_and_films(repository, tmp_path, moving, parts):
    words = ["--clip", moving, "--engine", "passthrough", "--seconds", "1", "2", "--repeat", "1"]
    called(repository, "bench_render.py", *words, "--json", tmp_path / "r.json")
    result = json.loads((tmp_path / "r.json").read_text())
    assert [film["frames"] for film in result["films"]] == [25, 50]
    assert set(result["films"][0]["steps"]) == {"probe", "analyse", "render", "finish"}
    assert set(result["floors"]) == {"decode", "decode into a pipe", "encode", "decode film"}
    assert all(film["pss_bytes"] > 50 * MB and film["cpu_s"] > 0.1 for film in result["films"])
    assert result["machine"]["cores"] >= 1
    page = called(repository, "bench_render.py", "--markdown", tmp_path / "r.json")
    assert "| as promised (decode + decode + encode + decode film) |" in page
