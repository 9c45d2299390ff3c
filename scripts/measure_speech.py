"""How well the speech part tells what real mouths do: opening and width, by clip, against a ruler's curves.

    python scripts/measure_speech.py CLIP=RULER.npz [CLIP=RULER.npz ...] [--out RESULT.json]

Each clip carries its speaker's own voice; its ruler file holds `time_s`, `opening` and `width` per frame (eye
distances, NaN where no face was seen). Printed per clip, Pearson r of opening / width for the net alone at lag 0 and
at the lag that fits the clip best, and for a readout fitted on the own voice: `half` fits on one half of the clip and
reads the other (both ways), `folds` leaves out 4 s at a time. Where a part is too short for a readout, the net stands
in; the number in brackets says how much of the clip was read by a readout that counts. `own` is the judgement of
`estimate_lag`. Correlations of `half` and `folds`, and of the net beside them, are means over their parts: a readout
fitted on one part has a range of its own, which one correlation over all parts would count as an error.
"""

import argparse
import json
import logging
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from heygemd.limits import Limits
from heygemd.media.probe import probe_audio
from heygemd.media.sound import decode_speech
from heygemd.render.speech.lag import LAG_TICKS, estimate_lag
from heygemd.render.speech.mouth import TRACK_RATE_HZ, MouthCurve, MouthNet, MouthTracks
from heygemd.render.speech.ownvoice import fit_readout
from heygemd.render.speech.readout import PersonCurve

FOLD_S = 4.0
GAP_S = 0.3
LEAST_FRAMES = 20
GRID = "grid_"
"""These clips took part in the training of the net: their figures stand apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A clip: what is heard, and what was seen."""

    name: str
    tracks: MouthTracks
    time_s: np.ndarray
    opening: np.ndarray
    width: np.ndarray
    frame_s: float

    @property
    def seen(self) -> np.ndarray:
        """Tell in which frames the ruler saw the mouth: bool[n]."""
        return np.isfinite(self.opening)


def talk_of(clip: Path, ruler: Path, net: MouthNet) -> Talk:
    limits = Limits()
    with tempfile.TemporaryDirectory() as folder, np.load(ruler) as curves:
        sound = Path(folder) / "sound.f32"
        decode_speech(clip, probe_audio(clip, limits), sound, limits)
        time_s = curves["time_s"] - curves["time_s"][0]
        return Talk(
            name=clip.stem,
            tracks=net.listen(np.fromfile(sound, np.float32)),
            time_s=time_s,
            opening=curves["opening"],
            width=curves["width"],
            frame_s=float(np.median(np.diff(time_s))),
        )


def correlation(told: np.ndarray, real: np.ndarray) -> float:
    known = np.isfinite(told) & np.isfinite(real)
    if known.sum() < LEAST_FRAMES or told[known].std() == 0 or real[known].std() == 0:
        return float("nan")
    return float(np.corrcoef(told[known], real[known])[0, 1])


def agreement(talk: Talk, curve: MouthCurve | PersonCurve, rows: np.ndarray) -> list[float]:
    return [correlation(curve.opening, talk.opening[rows]), correlation(curve.width, talk.width[rows])]


def fitted_lag(talk: Talk) -> float:
    """Best lag of the net's own answers, whether or not it is certain."""
    scores = {}
    for ticks in LAG_TICKS:
        curve = talk.tracks.at(talk.time_s + ticks / TRACK_RATE_HZ, talk.frame_s)
        raw = [correlation(curve.opening_raw, talk.opening), correlation(curve.width_raw, talk.width)]
        scores[ticks / TRACK_RATE_HZ] = float(np.nansum(raw))
    return max(scores, key=scores.__getitem__)


def held_out(talk: Talk, part: np.ndarray, lag_s: float) -> dict[str, object]:
    """Fit on all but the parts 0, 1, ... (int[n]) one by one and read each: mean r of the net and of the readout."""
    net, person, read = [], [], 0.0
    for number in range(part.max() + 1):
        rows = part == number
        start, stop = talk.time_s[rows].min() - GAP_S, talk.time_s[rows].max() + GAP_S
        elsewhere = talk.seen & ((talk.time_s < start) | (talk.time_s > stop))
        readout = fit_readout(talk.tracks, talk.time_s, talk.opening, talk.width, elsewhere)
        at_s = talk.time_s[rows]
        general = agreement(talk, talk.tracks.at(at_s + lag_s, talk.frame_s), rows)
        if np.isnan(general).any():
            continue
        own = agreement(talk, readout.read(talk.tracks, at_s + lag_s, talk.frame_s), rows) if readout else general
        net.append(general)
        person.append(own)
        read += float(readout is not None and readout.weight.max() > 0) * rows.mean()
    return {"net": mean_of(net), "readout": mean_of(person), "read": round(read, 2)}


def mean_of(rows: list[list[float]]) -> list[float]:
    return [round(float(value), 3) for value in np.nanmean(rows, axis=0)] if rows else [float("nan")] * 2


def measured(talk: Talk) -> dict[str, object]:
    everything = np.ones(len(talk.time_s), np.bool_)
    lag_s = fitted_lag(talk)
    judged = estimate_lag(talk.tracks, talk.time_s, talk.opening, talk.width)
    length_s = float(talk.time_s[-1])
    at_lag = {
        shift: agreement(talk, talk.tracks.at(talk.time_s + shift, talk.frame_s), everything) for shift in (0.0, lag_s)
    }
    return {
        "clip": talk.name,
        "length_s": round(length_s, 1),
        "lag_s": round(lag_s, 2),
        "own": judged.is_own_voice,
        "score": round(judged.score, 2),
        "certainty": round(judged.certainty, 1),
        "net_lag_0": mean_of([at_lag[0.0]]),
        "net_fitted_lag": mean_of([at_lag[lag_s]]),
        "half": held_out(talk, (talk.time_s > length_s / 2).astype(int), lag_s),
        "folds": held_out(
            talk, np.floor(talk.time_s / length_s * max(2, length_s // FOLD_S) * 0.999).astype(int), lag_s
        ),
    }


def table_row(row: dict) -> str:
    def two(values: list[float]) -> str:
        return f"{values[0]:5.2f}/{values[1]:5.2f}"

    parts = [
        f"{two(row[how]['net'])} -> {two(row[how]['readout'])} ({row[how]['read']:.2f})" for how in ("half", "folds")
    ]
    return (
        f"{row['clip']:28s} {row['length_s']:5.1f} s  lag {row['lag_s']:+.2f}  own {row['own']!s:5s}"
        f" {two(row['net_lag_0'])}  {two(row['net_fitted_lag'])}  half {parts[0]}  folds {parts[1]}"
    )


def means(rows: list[dict]) -> dict[str, list[float]]:
    return {
        "net_lag_0": mean_of([row["net_lag_0"] for row in rows]),
        "net_fitted_lag": mean_of([row["net_fitted_lag"] for row in rows]),
        **{
            f"{how}_{which}": mean_of([row[how][which] for row in rows])
            for how in ("half", "folds")
            for which in ("net", "readout")
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="CLIP=RULER.npz")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    net, rows = MouthNet(), []
    for pair in args.pairs:
        clip, _, ruler = pair.rpartition("=")
        rows.append(measured(talk_of(Path(clip), Path(ruler), net)))
        print(table_row(rows[-1]), flush=True)
    strangers = [row for row in rows if not row["clip"].startswith(GRID)]
    trained = [row for row in rows if row["clip"].startswith(GRID)]
    result = {"clips": rows, "means": means(strangers) if strangers else None}
    result["means_of_clips_trained_on"] = means(trained) if trained else None
    print(json.dumps({name: result[name] for name in result if name != "clips"}))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
