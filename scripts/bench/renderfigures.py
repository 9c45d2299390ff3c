"""What `bench_render.py` found, as figures for a file and as tables for people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.sums import AS_PROMISED, ONCE_EACH, Line, fit_line, floors_of, medians, ratio, sum_of
from bench.tables import Sheet, mb, ms, s, times
from bench.warm import Film

FILM = "film"
FLOOR_OF_TASK = {
    "analyse": ("decode", "follow"),
    "render": ("decode", "forward", "encode"),
    "finish": ("decode film",),
}
"""What each task cannot do without."""
FLOOR_NOTES = {
    "decode": "the clip, to nowhere",
    "decode into a pipe": "in no sum: what leaving the decoder costs",
    "follow": "frames in memory",
    "encode": "the product's own words, from a file",
    "decode film": "the finished film, to nowhere",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """Everything that was measured."""

    engine: str
    floors: Sequence[Mapping[str, float]]
    """CPU seconds a frame, round by round."""
    films: Mapping[float, Sequence[Film]]
    """By length in seconds; one a round."""
    way: str = ""
    """The cheapest way to run the network."""


def figures(rounds: Rounds) -> dict[str, Any]:
    """Medians, costs per frame, sums and ratios."""
    floors = medians(rounds.floors)
    films = [_film(rounds.films[length]) for length in sorted(rounds.films)]
    lines = {task: vars_of(line) for task, line in _lines(rounds.films).items()}
    sums = {}
    for name, parts in (("once each", ONCE_EACH), ("as promised", AS_PROMISED)):
        floor_s = sum_of(floors, floors_of(rounds.engine, parts))
        per_frame_s = lines[FILM]["per_frame_s"] if lines else None
        sums[name] = {
            "floor_s": floor_s,
            "parts": list(floors_of(rounds.engine, parts)),
            "ratio": None if per_frame_s is None else ratio(per_frame_s, floor_s),
        }
    return {"engine": rounds.engine, "way": rounds.way, "floors": floors, "films": films, "lines": lines, "sums": sums}


def vars_of(line: Line) -> dict[str, float]:
    return {"per_frame_s": line.per_frame, "fixed_s": line.fixed}


def _lines(films: Mapping[float, Iterable[Film]]) -> dict[str, Line]:
    """Cost by number of frames, for each task and for the whole film; none without films of two lengths."""
    if len(films) < 2:
        return {}
    every = [film for row in films.values() for film in row]
    tasks = dict.fromkeys(task for film in every for task in film.steps)
    lines = {task: fit_line((film.frames, film.steps[task].cpu.total_s) for film in every) for task in tasks}
    return {**lines, FILM: fit_line((film.frames, film.cpu_s) for film in every)}


def _film(films: Sequence[Film]) -> dict[str, Any]:
    rows = [_flat(film) for film in films]
    found = medians(rows)
    steps = {
        task: {name: found[f"{task} {name}"] for name in ("own_s", "children_s", "wall_s")} for task in films[0].steps
    }
    stages = {name.removeprefix("stage "): value for name, value in found.items() if name.startswith("stage ")}
    whole = ("frames", "film_s", "cpu_s", "wall_s", "pss_bytes", "rss_bytes", "vram_bytes")
    return {
        **{name: found[name] for name in whole},
        "realtime_factor": found["wall_s"] / found["film_s"],
        "spread_cpu_s": max(row["cpu_s"] for row in rows) - min(row["cpu_s"] for row in rows),
        "steps": steps,
        "stage_wall_s": stages,
    }


def _flat(film: Film) -> dict[str, float]:
    flat = {
        "frames": film.frames,
        "film_s": film.film_s,
        "cpu_s": film.cpu_s,
        "wall_s": film.wall_s,
        "pss_bytes": film.pss_bytes,
        "rss_bytes": film.rss_bytes,
        "vram_bytes": film.vram_bytes,
    }
    for task, step in film.steps.items():
        flat |= {
            f"{task} own_s": step.cpu.own_s,
            f"{task} children_s": step.cpu.children_s,
            f"{task} wall_s": step.wall_s,
        }
        flat |= {f"stage {task}: {stage}": seconds for stage, seconds in step.stage_s.items()}
    return flat


# Tables --------------------------------------------------------------------------------------------------------------


def sheets(result: Mapping[str, Any]) -> list[Sheet]:
    """Every table of a result, as `main` of `bench_render.py` wrote it."""
    found = [_floor_sheet(result), _sum_sheet(result), _task_sheet(result), _film_sheet(result), _stage_sheet(result)]
    if result.get("presets"):
        found.append(_preset_sheet(result["presets"]))
    if result.get("card"):
        found.append(_card_sheet(result["card"]))
    return [sheet for sheet in found if sheet.rows]


def _floor_sheet(result: Mapping[str, Any]) -> Sheet:
    notes = {**FLOOR_NOTES, "forward": result["way"]}
    rows = [(name, ms(value), notes.get(name, "")) for name, value in result["floors"].items()]
    return Sheet(title="Floors, each alone", head=("part", "CPU ms a frame", "how"), rows=rows)


def _sum_sheet(result: Mapping[str, Any]) -> Sheet:
    line = result["lines"].get(FILM, {})
    rows = [
        (
            f"{name} ({' + '.join(found['parts'])})",
            ms(found["floor_s"]),
            ms(line.get("per_frame_s")),
            times(found["ratio"]),
        )
        for name, found in result["sums"].items()
    ]
    return Sheet(title="Ours against the sums of floors", head=("sum", "floors, ms", "ours, ms", "ratio"), rows=rows)


def _task_sheet(result: Mapping[str, Any]) -> Sheet:
    rows = []
    for task, line in result["lines"].items():
        parts = floors_of(result["engine"], FLOOR_OF_TASK.get(task, ()))
        floor_s = sum_of(result["floors"], parts) if parts else None
        if task == FILM:
            floor_s = result["sums"]["as promised"]["floor_s"]
        rows.append((task, ms(line["per_frame_s"]), ms(floor_s), s(line["fixed_s"])))
    start = result["worker"]
    note = (
        f"Once for a worker: {start['start_cpu_s']:.2f} CPU s to start "
        f"({start['first_start_cpu_s']:.2f} the very first time on a machine), "
        f"{start['first_film_extra_s']:.2f} more for its first film."
    )
    head = ("task, warm worker", "CPU ms a frame", "its floors, ms", "start-up, CPU s a film")
    return Sheet(title="What a frame costs and what a film costs besides", head=head, rows=rows, note=note)


def _film_sheet(result: Mapping[str, Any]) -> Sheet:
    rows = [
        (
            f"{film['film_s']:g} s", s(film["cpu_s"]), s(film["spread_cpu_s"]), s(film["wall_s"]),
            f"{film['realtime_factor']:.2f}",
            mb(film["pss_bytes"]), mb(film["rss_bytes"]), mb(film["vram_bytes"] or None),
        )
        for film in result["films"]
    ]  # fmt: skip
    head = ("film", "CPU s", "spread", "wall s", "real time ×", "PSS MB", "RSS MB", "VRAM MB")
    return Sheet(title="Films by a warm worker", head=head, rows=rows)


def _stage_sheet(result: Mapping[str, Any]) -> Sheet:
    film = result["films"][-1]
    rows = [
        (task, s(step["own_s"]), s(step["children_s"]), s(step["wall_s"]), _stages_of(film, task))
        for task, step in film["steps"].items()
    ]
    head = ("task", "worker CPU s", "children CPU s", "wall s", "wall s by stage")
    return Sheet(title=f"The film of {film['film_s']:g} s, by task", head=head, rows=rows)


def _stages_of(film: Mapping[str, Any], task: str) -> str:
    begin = f"{task}: "
    stages = {name.removeprefix(begin): took for name, took in film["stage_wall_s"].items() if name.startswith(begin)}
    return ", ".join(f"{name} {took:.2f}" for name, took in stages.items())


def _preset_sheet(presets: Sequence[Mapping[str, Any]]) -> Sheet:
    rows = [(row["preset"], f"{row['ms_a_frame']:.1f}", f"{row['kilobytes_a_frame']:.1f}") for row in presets]
    return Sheet(
        title="Encoder presets, same quality setting", head=("preset", "CPU ms a frame", "kB a frame"), rows=rows
    )


def _card_sheet(card: Mapping[str, Any]) -> Sheet:
    names = {"gpu_ms": "network", "copy_there_ms": "copies to the card", "copy_back_ms": "copies back"}
    rows = [(text, f"{card[name]:.3f}") for name, text in names.items() if name in card]
    rows += [("batch", str(card["batch"]))]
    return Sheet(title="The card's own clock", head=("part", "ms a frame"), rows=rows)
