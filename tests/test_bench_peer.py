"""The bench that sets other programs beside ours: made-up figures, and the whole of it once on a tiny clip."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

MB = 1_000_000


@pytest.fixture
def parts(repository, monkeypatch):
    """The modules of `scripts/bench`."""
    monkeypatch.syspath_prepend(str(repository / "scripts"))
    from bench import contest, tables

    return SimpleNamespace(contest=contest, tables=tables)


def test_files_are_put_into_their_places_and_other_braces_stay(parts, tmp_path):
    words = parts.contest.fill(
        "python 'my script.py' --face {video} -a={audio} --opt {x} {out}",
        video=tmp_path / "a b.mp4", audio=tmp_path / "v.wav", out=tmp_path / "o.mp4",
    )  # fmt: skip
    assert words[1] == "my script.py"
    assert words[3] == str(tmp_path / "a b.mp4")
    assert words[4] == f"-a={tmp_path / 'v.wav'}"
    assert words[5:] == ["--opt", "{x}", str(tmp_path / "o.mp4")]


def test_a_command_without_a_place_is_refused(parts):
    with pytest.raises(ValueError, match=r"no \{audio\}, \{out\}"):
        parts.contest.fill("python inference.py {video}")


def outcome(parts, who, wanted, cpu_s, *, made=None, clip="anna"):
    """A film of as many frames as were wanted, or as were made."""
    frames = wanted if made is None else made
    return parts.contest.Outcome(
        who=who, clip=clip, wanted_frames=wanted, frames=frames, film_s=frames / 25, cpu_s=cpu_s, wall_s=cpu_s / 2,
        pss_bytes=MB, rss_bytes=2 * MB,
    )  # fmt: skip


def test_ratios_are_the_peers_cost_over_ours_for_each_film(parts):
    outcomes = [
        outcome(parts, who, frames, fixed + each * frames)
        for frames in (100, 200)
        for who, fixed, each in (("ours, warm", 1.0, 0.02), ("ours, cold", 3.0, 0.02), ("peer", 5.0, 0.2))
    ]
    rows = {(row["who"], row["wanted_frames"]): row for row in parts.contest.compared(outcomes, {})}
    assert rows["ours, warm", 100]["peer_cpu_ratio"] == pytest.approx(25 / 3)
    assert rows["ours, cold", 200]["peer_wall_ratio"] == pytest.approx(45 / 7)
    more = {row["who"]: row for row in parts.contest.marginals(outcomes, {})}
    assert more["ours, warm"]["peer_ratio"] == pytest.approx(10)
    assert more["peer"]["fixed_s"] == pytest.approx(5)


def test_clips_are_not_mixed(parts):
    outcomes = [
        outcome(parts, "ours, warm", frames, frames * each, clip=clip)
        for clip, each in (("small", 0.01), ("large", 0.05))
        for frames in (100, 200)
    ]
    each = {row["clip"]: row["per_frame_s"] for row in parts.contest.marginals(outcomes, {})}
    assert each == {"small": pytest.approx(0.01), "large": pytest.approx(0.05)}


def test_a_frame_is_counted_when_it_came_out(parts):
    """A program that leaves the end away has not worked on it."""
    outcomes = [outcome(parts, "peer", wanted, 0.1 * made, made=made) for wanted, made in ((100, 90), (200, 180))]
    (row,) = parts.contest.marginals(outcomes, {})
    assert (row["per_frame_s"], row["fixed_s"]) == (pytest.approx(0.1), pytest.approx(0, abs=1e-9))


def test_an_extrapolated_peer_is_never_shown_as_measured(parts):
    short = [outcome(parts, "peer", frames, 20 + 10.0 * frames) for frames in (8, 16)]
    foretold = {"anna": parts.contest.foretell(short)}
    ours = [outcome(parts, "ours, warm", 250, 10.0)]
    films = parts.contest.compared(ours, foretold)
    result = {
        "films": films,
        "marginals": parts.contest.marginals(ours, foretold),
        "foretold": str(foretold["anna"]["cpu_s"]),
    }
    assert films[1]["peer_cpu_ratio"] == pytest.approx(252)
    page = parts.tables.as_markdown(parts.contest.sheets(result))
    assert "| anna, 250 frames | peer | ≈ 2520.00 | ≈ 1260.00 | – | – | – | – | – | – |" in page
    assert "| anna, 250 frames | ours, warm | 10.00 | 5.00 | 0.50 | 1 | 2 | 250 | 252.00 × | 252.00 × |" in page
    assert "≈ extrapolated from runs of 8 and 16 frames; the peer made no whole film." in page


def test_a_failing_peer_ends_the_bench_with_its_last_words(parts, tmp_path):
    words = [sys.executable, "-c", "import sys; sys.exit('no face was found')"]
    with pytest.raises(SystemExit, match=r"peer ended with 1 and made no film:\nno face was found"):
        parts.contest.play("peer", words, tmp_path / "o.mp4", clip="anna", wanted_frames=5, env=dict(os.environ))


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
def test_bench_peer_runs_both_on_the_same_inputs(repository, tmp_path, moving):
    peer = "ffmpeg -y -v error -i {video} -i {audio} -c:v libx264 -c:a aac {out}"
    words = ["--clips", moving, "--engine", "passthrough", "--lengths", "1", "--rounds", "1", "--peer", peer]
    called(repository, "bench_peer.py", *words, "--json", tmp_path / "p.json")
    result = json.loads((tmp_path / "p.json").read_text())
    seen = [(row["who"], row["wanted_frames"], row["frames"]) for row in result["films"]]
    assert seen == [(who, 25, 25) for who in ("peer", "ours, cold", "ours, warm")]
    assert all(row["cpu_s"] > 0 and row["pss_bytes"] > 0 for row in result["films"])
