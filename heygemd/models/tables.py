"""How the models are shown on a terminal of 80 columns: a table by engine, remarks and licences below it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from heygemd.language import said
from heygemd.models.shelf import BAD, AutoChoice, Standing, State

MB = 1e6


def state_text(state: State) -> str:
    """Return a state in the person's language."""
    chinese = {
        State.SHIPPED: "随附",
        State.VERIFIED: "已核对",
        State.UNLISTED: "未收录",
        State.CUT: "不完整",
        State.WRONG: "不符",
        State.UNREADABLE: "无法读取",
        State.ABSENT: "缺失",
    }
    return said(state.value, chinese[state])


def list_table(standings: Sequence[Standing], taken: str | None) -> RenderableType:
    """Make the table of `models list`; `taken`: the name of the weights that `auto` takes, marked by a star."""
    licences = list(dict.fromkeys(standing.model.licence for standing in standings))
    table = Table(box=None, pad_edge=False)
    for heading, justify in (
        (said("engine, name", "引擎、名称"), "left"),
        (said("state", "状态"), "left"),
        (said("commercial", "商用"), "left"),
        (said("licence", "许可"), "left"),
        (said("size MB", "大小 MB"), "right"),
        (said("VRAM MiB", "显存 MiB"), "right"),
    ):
        table.add_column(heading, justify="right" if justify == "right" else "left", no_wrap=True)
    engine = ""
    for standing in standings:
        model = standing.model
        if model.engine != engine:
            engine = model.engine
            table.add_row(Text(engine, style="bold"))
        table.add_row(
            Text(f"  {model.name}{'*' if model.name == taken else ''}"),
            Text(state_text(standing.state), style=_style(standing.state)),
            Text(_commercial(model.commercial_use)),
            Text(f"({licences.index(model.licence) + 1})"),
            Text(_size(standing)),
            Text(_vram(model.vram_mib)),
        )
    notes = (Text(f"({number}) {licence}", style="dim") for number, licence in enumerate(licences, 1))
    return Group(table, *_remarks(standings), *notes)


def auto_line(choice: AutoChoice, standings: Sequence[Standing], models_dir: Path) -> str:
    """Say what a job with `engine = "auto"` gets, and why."""
    engine = choice.engine.value
    if choice.model is not None:
        state = next(state_text(standing.state) for standing in standings if standing.model == choice.model)
        file = choice.model.file
        return said(
            f"* auto takes {engine}: {file} is the first usable file of its weights in {models_dir} ({state})",
            f"* auto 使用 {engine}：{file} 是 {models_dir} 中首个可用的权重文件（{state}）",
        )
    return said(
        f"auto takes {engine}: no usable Wav2Lip weights lie in {models_dir}",
        f"auto 使用 {engine}：{models_dir} 中没有可用的 Wav2Lip 权重",
    )


def _style(state: State) -> str:
    if state in BAD:
        return "red"
    return {State.ABSENT: "dim", State.UNLISTED: "yellow"}.get(state, "green")


def _remarks(standings: Sequence[Standing]) -> Iterator[Text]:
    for standing in standings:
        if standing.detail:
            yield Text(f"{standing.model.name}: {standing.detail}", style=_style(standing.state))
        if standing.part_bytes:
            begun = said("a download is begun; pull goes on with it", "下载未完成，pull 会继续")
            yield Text(f"{standing.model.name}: {begun} ({standing.part_bytes / MB:.1f} MB)")


def _commercial(use: str) -> str:
    return said(use, {"yes": "可以", "no": "不可", "unconfirmed": "未确认"}[use])


def _size(standing: Standing) -> str:
    size_bytes = standing.size_bytes or standing.model.size_bytes
    return "" if size_bytes is None else f"{size_bytes / MB:.1f}"


def _vram(vram_mib: int | None) -> str:
    return "" if vram_mib is None else f"~{vram_mib}" if vram_mib else "CPU"
