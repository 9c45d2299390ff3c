"""All figures of one film: curves against what was wanted and against the real mouth, pictures against the source."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from measure.curves import Rows, agreement, at_lag, closures, fitted_lag, pearson
from measure.drives import Drive
from measure.film import Film
from measure.pixels import Detail, Flicker, Stand, detail, forbidden, luma_of, psnr, square_error
from measure.product import Curve, Mouth, decoded, info_of, net_curve
from measure.rulers import Reading

from heygemd.render.faces.track import FaceTrack

Tree = dict[str, Any]
LIKE_OPENING = 0.02
"""Mouths whose openings differ by less show as much of their inside."""
LEAST_ALIKE = 3
STILL_CHANGE = 0.3
"""A source whose skin changes by less from frame to frame, in steps of 255, stands still: no ratio can be taken."""


def against_wanted(film: Film, seen: Reading, fps: float) -> Tree:
    """Compare a ruler's reading of the film with what the engine wanted, where it counts fully."""
    count = min(len(film.effect), len(seen.opening))
    rows = film.effect[:count] == 1
    wanted = film.wanted.of(np.arange(count, dtype=np.int32))
    found = seen.of(slice(count))
    return {
        "opening": agreement(found.opening, wanted.opening, rows),
        "width": agreement(found.width, wanted.width, rows),
        "gap_r": pearson(found.gap, wanted.opening, rows),
        "closures": closures(found.opening, wanted.opening, rows, fps),
    }


def openings(film: Film, found: Curve) -> Tree:
    """Compare openings alone."""
    count = min(len(film.effect), len(found))
    return agreement(found[:count], film.wanted.opening[:count], film.effect[:count] == 1)


def against_real(film: Film, seen: Reading, real: Mouth | Reading, fps: float) -> Tree:
    """Compare net, target and film with what the speaker's own mouth did, at lag 0 and at the clip's own lag.

    The lag is the one at which the net alone fits the real opening best: where sound and picture of the clip are
    apart, it says by how much.
    """
    assert film.speech is not None
    count = min(len(film.effect), len(seen.opening), len(real.opening))
    rows: Rows = np.ones(count, np.bool_)
    net = net_curve(film.speech, count, fps)
    curves = {
        "net": (np.asarray(net.opening_raw, np.float64), np.asarray(net.width_raw, np.float64)),
        "target": (film.wanted.opening[:count], film.wanted.width[:count]),
        "film": (seen.opening[:count], seen.width[:count]),
    }
    truth = real.opening[:count], real.width[:count]
    lag = fitted_lag(curves["net"][0], truth[0], rows, fps)
    tree: Tree = {"lag_ms": round(1000 * lag / fps)}
    for name, (opening, width) in curves.items():
        tree[name] = {
            "opening_lag0": at_lag(opening, truth[0], rows, 0),
            "opening_own_lag": at_lag(opening, truth[0], rows, lag),
            "width_lag0": at_lag(width, truth[1], rows, 0),
            "width_own_lag": at_lag(width, truth[1], rows, lag),
        }
    return tree


def of_pictures(drive: Drive, film: Film, track: FaceTrack) -> Tree:
    """Compare the pictures of the film with those of its source, frame by frame, both as encoded."""
    known = drive.material.track
    flicker = Flicker(Stand(known.points, known.present))
    details: list[tuple[int, Detail, Detail]] = []
    errors = []
    both = zip(*(decoded(path, info_of(path)) for path in (film.source, film.path)), strict=True)
    for number, ((_, source), (_, made)) in enumerate(both):
        frame = int(drive.frames[number])
        points = known.points[frame], track.points[number]
        lumas = luma_of(source), luma_of(made)
        here = points[0] if film.effect[number] > 0 else np.full_like(points[0], np.nan)
        original = luma_of(drive.material.frames[frame])
        errors.append(square_error(original, lumas[1], forbidden(here, original.shape)))
        flicker.look(frame, lumas, points)
        if film.effect[number] == 1 and np.isfinite(points).all():
            before, after = (detail(luma, face) for luma, face in zip(lumas, points, strict=True))
            if before is not None and after is not None:
                details.append((number, before, after))
    return {
        **_flicker_figures(flicker),
        **_detail_figures(details, drive, film),
        "changed_outside": film.changed_outside,
        "psnr_outside_db": psnr(float(np.nanmean(errors))) if np.isfinite(errors).any() else None,
    }


def _detail_figures(details: Sequence[tuple[int, Detail, Detail]], drive: Drive, film: Film) -> Tree:
    if not details:
        return {"sharpness": None, "sharpness_mouth": None, "seam": None}
    numbers = np.array([number for number, _, _ in details])
    before, after = (
        np.array([(d.lips, d.mouth, d.band) for d in part]) for part in list(zip(*details, strict=True))[1:]
    )
    return {
        "sharpness": _ratio(np.median(after[:, 0]), np.median(before[:, 0])),
        "sharpness_mouth": _alike(
            drive.material.mouth.opening[drive.frames[numbers]],
            before[:, 1],
            film.wanted.opening[numbers],
            after[:, 1],
        ),
        "seam": _ratio(after[:, 2].mean(), before[:, 2].mean()),
    }


def _alike(own: Curve, before: Curve, wanted: Curve, after: Curve) -> float | None:
    """Median ratio of film frames to the median of the source frames whose mouth is as far open."""
    ratios = []
    for opening, found in zip(wanted, after, strict=True):
        alike = np.abs(own - opening) < LIKE_OPENING
        if alike.sum() >= LEAST_ALIKE:
            ratios.append(found / max(float(np.median(before[alike])), 1e-6))
    return float(np.median(ratios)) if len(ratios) >= LEAST_ALIKE else None


def _flicker_figures(flicker: Flicker) -> Tree:
    skin, energy = (_means(pairs) for pairs in (flicker.skin, flicker.energy))
    moves = skin is not None and skin[0] >= STILL_CHANGE
    return {
        "flicker": _ratio(skin[1], skin[0]) if skin is not None and moves else None,
        "flicker_source": skin and skin[0],
        "flicker_film": skin and skin[1],
        "energy": _ratio(energy[1], energy[0]) if energy is not None and moves else None,
        "energy_source": energy and energy[0],
        "energy_film": energy and energy[1],
    }


def _means(pairs: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    if not pairs:
        return None
    source, film = np.array(pairs).mean(axis=0)
    return float(source), float(film)


def _ratio(film: float, source: float) -> float | None:
    return float(film / source) if source > 0 else None


def rounded(tree: Any) -> Any:  # noqa: ANN401  # a tree of JSON
    """Round every number of a tree to four places."""
    if isinstance(tree, dict):
        return {name: rounded(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [rounded(value) for value in tree]
    return round(float(tree), 4) if isinstance(tree, float | np.floating) else tree
