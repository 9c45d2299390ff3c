"""Mutated media end in a film or in a sentence with a code; nothing that serves others is ended or paused by them."""

import os
import signal
from itertools import islice
from pathlib import Path

import pytest

from heygemd.errors import FaultError, InputError, ResourceError
from heygemd.limits import Limits
from heygemd.media.probe import probe_video
from tests.fuzz import daemon, media, structure
from tests.fuzz.house import House, probe_both
from tests.fuzz.media import Mutant, Stock
from tests.fuzz.outcome import Ending, Tally

pytestmark = pytest.mark.ffmpeg

SEED = "suite"
EXECUTIONS = 16
STRUCTURES = 400


@pytest.fixture
def tally(tmp_path: Path) -> Tally:
    return Tally(tmp_path / "kept")


@pytest.mark.slow
def test_mutated_media_end_in_a_film_or_with_a_code(stock: Stock, tmp_path: Path, tally: Tally) -> None:
    with House(tmp_path / "house") as house:
        for mutant in islice(media.mutants(stock, SEED), EXECUTIONS):
            media.execute(house, stock, mutant, tally)
    assert tally.harm == []
    assert tally.executions == EXECUTIONS
    assert tally.endings[Ending.USED] >= EXECUTIONS // 10, tally.lines()
    assert tally.endings[Ending.REFUSED] >= EXECUTIONS // 10, tally.lines()


@pytest.mark.slow
def test_a_daemon_survives_mutated_media(stock: Stock, tmp_path: Path, tally: Tally) -> None:
    some = list(islice(media.mutants(stock, f"{SEED}-daemon"), 6))
    daemon.execute(tmp_path / "inbox", stock, some, tally)
    assert tally.harm == []
    assert tally.executions == len(some)


def test_the_structure_of_mutated_media_is_judged_at_once(stock: Stock, tally: Tally) -> None:
    for mutant in islice(media.mutants(stock, SEED), STRUCTURES):
        structure.execute(mutant, tally)
    assert tally.harm == []
    assert tally.executions == STRUCTURES


def harmed_by(stock: Stock, folder: Path, tally: Tally, probe) -> Ending:
    """What is noticed when the probe of a good file does this."""
    content = next(content for seed, content in stock.sounds.items() if seed.name == media.GOOD_SOUND)
    with House(folder / "house", probe=probe) as house:
        media.execute(house, stock, Mutant(label="x.wav", is_picture=False, data=content), tally)
    (ending,) = tally.endings
    assert bool(tally.harm) == (ending not in (Ending.USED, Ending.REFUSED, Ending.CRASH))
    return ending


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (ValueError("a bug"), Ending.DEATH),
        (InputError("E110", "cut"), Ending.REFUSED),
        (ResourceError("E201", "the share"), Ending.PAUSE),
        (FaultError("E500", "a bug"), Ending.FAULT),
    ],
)
def test_what_a_probe_raises_is_told_apart(stock: Stock, tmp_path: Path, tally: Tally, error, ending) -> None:
    def probe(video: Path, audio: Path, limits: Limits):
        raise error

    assert harmed_by(stock, tmp_path, tally, probe) is ending
    assert (tmp_path / "kept").exists() == (ending is not Ending.REFUSED)


@pytest.mark.slow
def test_a_worker_that_dies_is_counted_and_its_input_kept(stock: Stock, tmp_path: Path, tally: Tally) -> None:
    with House(tmp_path / "house") as house:
        scheduler = house.scheduler
        plain_tick = scheduler.tick

        def tick():
            for hand in scheduler._crew.hands:
                if hand.is_ready and hand.task is not None:
                    os.kill(scheduler._pool.pids()[hand.worker], signal.SIGKILL)
            return plain_tick()

        scheduler.tick = tick
        content = next(content for seed, content in stock.sounds.items() if seed.name == media.GOOD_SOUND)
        media.execute(house, stock, Mutant(label="x.wav", is_picture=False, data=content), tally)
    assert tally.endings == {Ending.CRASH: 1}
    assert [path.read_bytes() for path in (tmp_path / "kept").glob("*.wav")] == [content]
    assert tally.harm == []


def test_good_media_are_seen_as_good_by_the_probe(stock: Stock) -> None:
    limits = Limits(stall_s=20, probe_wall_s=20)
    pictures = [stock.folder / seed.name for seed in list(stock.pictures)[:3]]
    sound = stock.folder / media.GOOD_SOUND
    assert all(probe_both(picture, sound, limits).video.width_px > 0 for picture in pictures)


def test_matroska_that_is_cut_in_its_head_is_damaged_and_not_out_of_reach(stock: Stock, tmp_path: Path) -> None:
    """What ffmpeg says of it is what it says of a share that has gone: input/output error."""
    content = next(content for seed, content in stock.pictures.items() if seed.suffix == ".webm")
    file = tmp_path / "film.webm"
    file.write_bytes(content[:300])
    with pytest.raises(InputError) as refused:
        probe_video(file, Limits(stall_s=20, probe_wall_s=20))
    assert refused.value.code == "E110"
