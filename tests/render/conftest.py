"""A tiny clip and sound, and orders and plans to make a film of them with the engine that changes nothing."""

import io
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from heygemd.jobs.job import EngineName, RenderOptions
from heygemd.limits import Limits
from heygemd.media.probe import probe_audio, probe_video
from heygemd.planning.plan import Analysis, EngineChoice, Order, Plan, from_json, to_json
from heygemd.planning.segments import cut
from heygemd.planning.timeline import plan_timeline
from heygemd.render.passthrough import Passthrough
from heygemd.render.worker import Worker

LIMITS = Limits(stall_s=20, probe_wall_s=20)
FRAMES = 10


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory):
    """Ten frames of 64 x 48 at 25 per second."""
    path = tmp_path_factory.mktemp("tiny") / "face.mp4"
    make = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4"]
    subprocess.run([*make, "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast", str(path)], check=True)
    return path


@pytest.fixture(scope="session")
def tiny_voice(tmp_path_factory):
    """0.6 s of a tone: fifteen frames of film."""
    path = tmp_path_factory.mktemp("tiny") / "voice.wav"
    tone = "sine=frequency=220:duration=0.6:sample_rate=16000"
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", tone, str(path)], check=True)
    return path


@pytest.fixture(scope="session")
def tiny_facts(tiny_clip, tiny_voice):
    """What the probe says of both."""
    return probe_video(tiny_clip, LIMITS), probe_audio(tiny_voice, LIMITS)


@pytest.fixture
def order(tmp_path, tiny_clip, tiny_voice, tiny_facts):
    """What to make, in a work directory and with a cache of its own."""
    work, kept = tmp_path / "work", tmp_path / "cache"
    work.mkdir()
    kept.mkdir()
    made = Order(
        job_id="20250131T080000000-abcdefgh23", work_dir=work, cache_dir=kept, video=tiny_clip, video_sha256="aa",
        video_info=tiny_facts[0], audio=tiny_voice, audio_sha256="bb", audio_info=tiny_facts[1],
        options=RenderOptions(engine=EngineName.PASSTHROUGH, crf=0, preset="ultrafast"),
        engine=EngineChoice(name=EngineName.PASSTHROUGH), max_segment_s=60.0,
    )  # fmt: skip
    (work / "order.json").write_text(to_json(made))
    return made


@pytest.fixture
def make_plan():
    """A function that plans an analysed order, in segments of at most `most` frames."""

    def make(order: Order, *, most: int = 1000, **changes: object) -> Plan:
        analysis = from_json(Analysis, order.analysis_file.read_bytes())
        timeline = plan_timeline(
            fps=order.video_info.fps, tick_count=analysis.tick_count, sound_s=order.audio_info.duration_s,
            policy=order.options.length,
        )  # fmt: skip
        timeline = replace(timeline, **changes)
        segments = cut(timeline.frame_count, most)
        plan = Plan(order=order, analysis=analysis, timeline=timeline, segments=segments)
        plan_file: Path = order.work_dir / "plan.json"
        plan_file.write_text(to_json(plan))
        return plan

    return make


@pytest.fixture
def quiet():
    """Progress that nobody wants to hear."""
    return lambda done, total: None


@pytest.fixture
def worker():
    """A worker within this process; what it says stays in `out`."""
    return Worker(engine=Passthrough(), device="cpu", out=io.StringIO())
