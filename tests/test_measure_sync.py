"""The measurement itself, on curves and pictures with a fault that was put there: each figure must show its own."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import structlog

from heygemd.render.faces import topology
from heygemd.render.faces.facemodel import load_face_model
from tests.pictures import make_presenter

EYE_PX = 80.0
SIZE_PX = 240
FPS = 25.0
FRAMES = 40


@pytest.fixture(autouse=True)
def as_configured_before():
    """The script is a program of its own and sets up its log."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.fixture
def parts(repository, monkeypatch):
    """The modules of `scripts/measure`."""
    monkeypatch.syspath_prepend(str(repository / "scripts"))
    from measure import curves, drives, figures, pixels, rulers, sheet, table

    return SimpleNamespace(
        curves=curves, drives=drives, figures=figures, pixels=pixels, rulers=rulers, sheet=sheet, table=table
    )


@pytest.fixture(scope="module")
def points():
    """An upright face in the middle of the picture: float32[74, 2]."""
    face = load_face_model().mean_face[list(topology.MESH_INDEXES), :2]
    return np.asarray(face * EYE_PX + (SIZE_PX / 2, SIZE_PX / 3), np.float32)


@pytest.fixture(scope="module")
def picture():
    """Luma with the fine texture of skin."""
    noise = np.random.default_rng(6).normal(128, 40, (SIZE_PX, SIZE_PX))
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 1.2) * 2 - 128, 0, 255).astype(np.uint8)


def spoken(seed=1, count=FRAMES):
    """An opening that goes up and down as in speech, with closures."""
    noise = np.random.default_rng(seed).normal(0, 1, count + 20)
    curve = np.convolve(noise, np.hanning(7), "same")[10:-10] * 0.06 + 0.05
    return np.maximum(curve, 0)


def everywhere(curve):
    return np.ones(len(curve), bool)


def test_perfect_film_has_perfect_figures(parts):
    wanted = spoken()
    found = parts.curves.agreement(wanted, wanted, everywhere(wanted))
    assert found == {"r": pytest.approx(1), "rms": 0, "bias": 0, "frames": FRAMES}


def test_film_delayed_by_one_frame_loses_correlation_and_its_lag_is_found(parts):
    wanted = spoken()
    late = np.roll(wanted, 1)
    rows = everywhere(wanted)
    rows[0] = False
    assert parts.curves.agreement(late, wanted, rows)["r"] < 0.97
    assert parts.curves.fitted_lag(late, wanted, rows, FPS) == 1
    assert parts.curves.at_lag(late, wanted, rows, 1) == pytest.approx(1)
    assert parts.curves.fitted_lag(wanted, late, rows, FPS) == -1


def test_wrong_size_of_mouth_shows_in_rms_and_bias_though_it_moves_along(parts):
    wanted = spoken()
    found = parts.curves.agreement(wanted + 0.03, wanted, everywhere(wanted))
    assert found["r"] == pytest.approx(1)
    assert [found["rms"], found["bias"]] == pytest.approx([0.03, 0.03])


def test_frames_without_a_face_or_without_effect_do_not_count(parts):
    wanted = spoken()
    found, rows = wanted.copy(), everywhere(wanted)
    found[:5], rows[5:10] = np.nan, False
    found[5:10] += 1
    assert parts.curves.agreement(found, wanted, rows) == {
        "r": pytest.approx(1), "rms": 0, "bias": 0, "frames": FRAMES - 10,
    }  # fmt: skip


def test_curve_that_stands_still_has_no_correlation(parts):
    assert parts.curves.pearson(np.zeros(FRAMES), spoken(), np.ones(FRAMES, bool)) is None


def test_closure_that_was_missed_and_one_too_many_are_counted(parts):
    wanted = np.full(FRAMES, 0.1)
    wanted[5:8] = wanted[20:22] = 0
    found = wanted + 0.004
    all_closed = parts.curves.closures(found, wanted, everywhere(wanted), FPS)
    assert (all_closed["wanted"], all_closed["recall"], all_closed["precision"]) == (2, 1, 1)
    assert all_closed["left_open_median"] == pytest.approx(0.004)
    found[20:22] = 0.05
    found[30:32] = 0.01
    faulty = parts.curves.closures(found, wanted, everywhere(wanted), FPS)
    assert (faulty["recall"], faulty["precision"]) == (0.5, 0.5)
    assert faulty["left_open_p95"] > 0.04


def test_long_rest_is_no_closure(parts):
    wanted = np.full(FRAMES, 0.1)
    wanted[10:30] = 0
    assert parts.curves.closures(wanted, wanted, everywhere(wanted), FPS)["wanted"] == 0


def test_blurred_mouth_loses_sharpness_and_nothing_else_does(parts, points, picture):
    ring = points[topology.OUTER_LIP_ROWS]
    mask = np.zeros_like(picture)
    cv2.fillPoly(mask, [np.round(ring).astype(np.int32)], (1,))
    blurred = np.where(mask > 0, cv2.GaussianBlur(picture, (0, 0), 1.5), picture)
    sharp, soft = (parts.pixels.detail(luma, points) for luma in (picture, blurred))
    assert soft.lips < 0.5 * sharp.lips
    assert soft.mouth < 0.5 * sharp.mouth
    assert soft.band == pytest.approx(sharp.band, rel=0.03)


def test_hard_edge_around_the_mouth_is_a_seam(parts, points, picture):
    ring = points[topology.OUTER_LIP_ROWS]
    mask = np.zeros_like(picture)
    cv2.fillPoly(mask, [np.round(ring).astype(np.int32)], (1,))
    mask = cv2.dilate(mask, np.ones((21, 21), np.uint8))
    smooth = cv2.GaussianBlur(picture, (0, 0), 3)
    seamed = np.where(mask > 0, np.clip(smooth.astype(int) + 40, 0, 255), smooth).astype(np.uint8)
    assert parts.pixels.detail(seamed, points).band > 1.3 * parts.pixels.detail(smooth, points).band


def flicker_of(parts, points, pictures):
    """Skin flicker and energy, film over source, of pairs of pictures under one unmoving face."""
    count = len(pictures)
    stand = parts.pixels.Stand(np.repeat(points[None], count, 0), np.ones(count, bool))
    flicker = parts.pixels.Flicker(stand)
    for frame, pair in enumerate(pictures):
        flicker.look(frame, pair, (points, points))
    return [np.mean(pairs, axis=0)[1] / np.mean(pairs, axis=0)[0] for pairs in (flicker.skin, flicker.energy)]


def moving(picture, count=6):
    """A source with some noise in each frame."""
    rng = np.random.default_rng(2)
    return [np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8) for _ in range(count)]


def test_film_like_its_source_does_not_flicker(parts, points, picture):
    assert flicker_of(parts, points, [(p, p) for p in moving(picture)]) == [1, 1]


def test_skin_that_changes_its_brightness_flickers(parts, points, picture):
    pairs = [(p, np.minimum(p, 249) + np.uint8(6 * (k % 2))) for k, p in enumerate(moving(picture))]
    assert flicker_of(parts, points, pairs)[0] > 1.2


def test_lips_that_move_are_energy_and_no_flicker(parts, points, picture):
    ring = np.round(points[topology.OUTER_LIP_ROWS]).astype(np.int32)
    pairs = []
    for k, p in enumerate(moving(picture)):
        film = p.copy()
        cv2.fillPoly(film, [ring], (40 + 120 * (k % 2),))
        pairs.append((p, film))
    skin, energy = flicker_of(parts, points, pairs)
    assert skin == pytest.approx(1, abs=0.02)
    assert energy > 3


def test_jump_in_the_source_is_no_flicker(parts, points, picture):
    stand = parts.pixels.Stand(np.repeat(points[None], 20, 0), np.ones(20, bool))
    flicker = parts.pixels.Flicker(stand)
    flicker.look(0, (picture, picture), (points, points))
    flicker.look(12, (picture, 255 - picture), (points, points))
    assert not flicker.skin


def test_held_crop_follows_a_head_that_moves_and_turns(parts, points, picture):
    turn = cv2.getRotationMatrix2D((SIZE_PX / 2, SIZE_PX / 2), 8, 1.05)
    turn[:, 2] += (6, -4)
    moved = cv2.warpAffine(picture, turn, (SIZE_PX, SIZE_PX))
    after = (points @ turn[:, :2].T + turn[:, 2]).astype(np.float32)
    stand = parts.pixels.Stand(np.stack([points, after]), np.ones(2, bool))
    crops = stand.crop(picture, 0), stand.crop(moved, 1)
    assert np.corrcoef(crops[0].ravel(), crops[1].ravel())[0, 1] > 0.9


def planes_of(luma):
    return np.concatenate([luma, np.full((SIZE_PX // 2, SIZE_PX), 128, np.uint8)])


def test_patch_that_shifted_outside_the_mask_is_seen_in_every_plane(parts, points, picture):
    outside = parts.pixels.forbidden(points, picture.shape)
    before = planes_of(picture)
    inside, brow, chroma = before.copy(), before.copy(), before.copy()
    x, y = np.round(points[topology.LIP_ROWS].mean(0)).astype(int)
    inside[y - 5 : y + 5, x - 5 : x + 5] ^= 255
    brow[10:30, 100:120] = np.roll(before[10:30, 100:120], 3, 1)
    chroma[SIZE_PX + 2, 10] = 131
    assert parts.pixels.worst_change(before, inside, outside) == 0
    assert parts.pixels.worst_change(before, brow, outside) > 20
    assert parts.pixels.worst_change(before, chroma, outside) == 3
    assert parts.pixels.square_error(picture, inside[:SIZE_PX], outside) == 0
    assert parts.pixels.psnr(parts.pixels.square_error(picture, brow[:SIZE_PX], outside)) < 40


def test_without_a_face_nothing_may_change(parts, points, picture):
    assert parts.pixels.forbidden(np.full_like(points, np.nan), picture.shape).all()


def test_gap_grows_with_the_cavity(parts, points):
    lips = np.full((SIZE_PX, SIZE_PX, 3), (120, 130, 190), np.uint8)
    open_mouth = lips.copy()
    middle = np.round(points[topology.INNER_LIP_ROWS].mean(0)).astype(int)
    cv2.ellipse(open_mouth, middle.tolist(), (10, 4), 0, 0, 360, (10, 10, 20), cv2.FILLED)
    assert parts.pixels.gap(lips, points) == 0
    assert parts.pixels.gap(open_mouth, points) == pytest.approx(np.pi * 40 / EYE_PX**2, rel=0.4)


def reading(parts, opening):
    return parts.rulers.Reading(opening=opening, width=opening, gap=opening)


def test_ruler_that_reads_larger_is_brought_to_our_measure_on_the_source(parts):
    own = spoken(3)
    mouth = parts.drives.Mouth(opening=own, width=own)
    film = spoken(4)
    matched = parts.rulers.in_our_measure(reading(parts, 1.3 * film + 0.01), reading(parts, 1.3 * own + 0.01), mouth)
    assert np.allclose(matched, film)
    assert parts.rulers.in_our_measure(reading(parts, film), reading(parts, own * 0), mouth) is None


def test_outside_ruler_is_asked_once_for_a_source(parts, tmp_path):
    program = tmp_path / "ruler.py"
    program.write_text(
        "import sys, numpy as np\nopen(sys.argv[2] + '.asked', 'a').write('x')\n"
        "np.savez(sys.argv[4], opening=[.1, .2], width=[.6, .7], gap=[0, .01], eye_px=[80, 80])\n"
    )
    clip = tmp_path / "anna.mp4"
    ruler = parts.rulers.OutsideRuler(python=sys.executable, program=program, cache=tmp_path / "kept")
    assert ruler.of_source(clip).opening.tolist() == ruler.of_source(clip).opening.tolist() == [0.1, 0.2]
    assert (tmp_path / "anna.mp4.asked").read_text() == "x"


def run(clip, drive, r, energy=None):
    return {"clip": clip, "drive": drive, "tracker": {"opening": {"r": r}}, "pictures": {"sharpness": 2 - r},
            "silence": {"energy": energy}}  # fmt: skip


def test_table_names_median_and_worst_of_every_drive(parts):
    runs = [run("a", "own", 0.9), run("b", "own", 0.8), run("c", "own", 0.99), run("a", "cross:b", 0.7)]
    text = parts.table.markdown(runs)
    rows = [[cell.strip() for cell in line.split("|")[1:5]] for line in text.splitlines()]
    columns = text.splitlines()[0].split("|")
    assert ["**median**", "own", "0.900", "–"] in rows
    assert ["**worst**", "own", "0.800", "–"] in rows
    assert ["**worst**", "all", "0.700", "–"] in rows
    sharp = [name.strip() for name in columns].index("sharpness")
    worst = next(line for line in text.splitlines() if line.startswith("| **worst** | own "))
    assert worst.split("|")[sharp].strip() == "1.200"


def test_plot_shows_each_curve_in_its_colour(parts):
    curve = np.linspace(0, 0.2, 50)
    both = parts.sheet.plot({"wanted": curve, "tracker": 0.2 - curve}, 400)
    alone = parts.sheet.plot({"wanted": curve, "tracker": np.full(50, np.nan)}, 400)
    colour = np.array(parts.sheet.COLOURS["tracker"])
    lines = [(np.abs(picture[20:].astype(int) - colour).max(2) < 40).sum() for picture in (both, alone)]
    assert lines[0] > 100 > lines[1]


def material(count, fps=25.0, sound=True):
    """As much of a clip as drives look at."""
    pts_s = np.arange(count) / fps
    mouth = SimpleNamespace(opening=spoken(7, count), width=0.6 + spoken(8, count))
    return pts_s, mouth, (np.zeros(int(count / fps * 16_000), np.float32) if sound else None)


@pytest.fixture
def clip(parts, points):
    from fractions import Fraction

    from measure.material import Material

    from heygemd.jobs.job import VideoInfo
    from heygemd.render.faces.track import FaceTrack

    pts_s, mouth, sound = material(FRAMES)
    blank = replace(
        FaceTrack.without_face(pts_s),
        points=np.repeat(points[None], FRAMES, 0),
        confidence=np.ones(FRAMES, np.float32),
        lips_visible=np.ones(FRAMES, np.float32),
    )
    info = VideoInfo(
        demuxer="mov", codec="h264", stream=0, fps=Fraction(25), frame_count=FRAMES, width_px=8, height_px=8
    )  # fmt: skip
    return Material(
        name="anna", path=None, info=info, frames=np.zeros((FRAMES, 12, 8), np.uint8), track=blank,
        mouth=parts.drives.Mouth(opening=mouth.opening, width=mouth.width), sound=sound,
    )  # fmt: skip


def test_held_drive_hides_the_second_half_from_whoever_learns_the_person(parts, clip):
    half = FRAMES // 2
    held = parts.drives.drive_of("held", clip, {}, seconds=9)
    assert len(held.material.frames) == len(held.material.track.pts_s) == len(held.material.mouth.opening) == half
    assert np.allclose(held.mouth.opening, clip.mouth.opening[half:])
    own = parts.drives.drive_of("own-held", clip, {}, seconds=9)
    assert len(own.material.track.pts_s) == half
    assert np.allclose(own.real.opening, clip.mouth.opening[half:])
    assert len(own.material.sound) == len(own.sound) == half * 640
    unheard = parts.drives.drive_of("own-unheard", clip, {}, seconds=9)
    assert (own.knows_voice, unheard.knows_voice, unheard.name) == (True, False, "own-unheard")


def test_other_drives_put_the_right_curve_over_the_right_frames(parts, clip):
    shifted = parts.drives.drive_of("shifted", clip, {}, seconds=9)
    assert np.allclose(np.roll(shifted.mouth.opening, FRAMES // 2), clip.mouth.opening)
    own = parts.drives.drive_of("own", clip, {}, seconds=9)
    assert np.allclose(own.real.opening, clip.mouth.opening)
    wide = replace(clip, mouth=parts.drives.Mouth(opening=clip.mouth.opening, width=3 * clip.mouth.width))
    crossed = parts.drives.drive_of("cross:b", clip, {"b": wide}, seconds=9)
    assert crossed.mouth.width.mean() == pytest.approx(clip.mouth.width.mean())
    assert crossed.mouth.width.std() == pytest.approx(clip.mouth.width.std())
    assert not parts.drives.drive_of("silence", clip, {}, seconds=9).sound.any()


def test_what_a_clip_lacks_is_said(parts, clip):
    with pytest.raises(parts.drives.NotHereError, match="sound"):
        parts.drives.drive_of("own", replace(clip, sound=None), {}, seconds=9)
    with pytest.raises(parts.drives.NotHereError, match="still"):
        parts.drives.drive_of("held", clip.first(1), {}, seconds=9)
    with pytest.raises(ValueError, match="no drive"):
        parts.drives.drive_of("sideways", clip, {}, seconds=9)


@pytest.mark.ffmpeg
@pytest.mark.slow
def test_figures_and_pictures_of_a_real_film_lie_in_the_folder(repository, script, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(repository / "scripts"))
    import measure_sync

    film = tmp_path / "anna.mp4"
    make_presenter(script("demo/make_presenter"), film, 20)
    out = tmp_path / "out"
    words = ["measure_sync.py", "--clips", str(film), "--drives", "shifted", "silence", "own", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    assert measure_sync.main() == 0
    runs = {found["drive"]: found for found in json.loads((out / "anna.json").read_text())["runs"]}
    assert set(runs) == {"shifted", "silence"}
    assert runs["silence"]["tracker"]["closures"]["left_open_p95"] < 0.03
    assert all(found["pictures"]["changed_outside"] == 0 for found in runs.values())
    assert all(found["touched_frames"] == found["frames"] for found in runs.values())
    assert cv2.imread(str(out / "anna.png")).shape[0] > 2 * 4 * 256
    assert (out / "table.md").read_text().count("| anna |") == 2
