"""A CSV of 100 rows, 7 of them wrong, through a real daemon: 93 films and 7 reasons with their lines.

    python scripts/soak_manifest.py [--folder DIR]

The passthrough engine renders; every film is distinct, so none is given twice. Ends with 1 when anything is missing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

ROWS = 100
BAD = {
    7: ("ep007,anna.mp4,../ep007.wav,,", "E126"),
    19: ("ep019,anna.mp4,ep019.xyz,,", "E101"),
    33: ("ep032,anna.mp4,ep033.wav,,", "E128"),
    48: ("ep048,anna.mp4,ep048.wav,soon,", "E124"),
    61: ("ep061,anna.mp4,ep061.wav,,99", "E124"),
    75: ("ep075,anna.mp4,,,", "E124"),
    90: ('ep090,anna.mp4,"ep090.wav,,', "E121"),
}
"""Row → what it says, and the code it must get. Line = row + 1: the header comes first."""

CONFIG = """
roots = ["{root}"]
state_dir = "{state}"
[intake]
settle_s = 0.5
settle_unsure_s = 1.0
scan_active_s = 0.2
scan_idle_s = 0.5
reserve_mib = 0
[render]
engine = "passthrough"
preset = "ultrafast"
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    folder = parser.parse_args().folder or Path(tempfile.mkdtemp(prefix="soak-manifest-"))
    folder.mkdir(parents=True, exist_ok=True)
    root, config = folder / "root", folder / "heygemd.toml"
    config.write_text(CONFIG.format(root=root, state=folder / "state"))
    heygemd = [sys.executable, "-m", "heygemd"]
    subprocess.run([*heygemd, "init-root", str(root)], check=True, stdout=subprocess.DEVNULL)
    fill(root / "inbox")
    start = time.monotonic()
    with (folder / "daemon.log").open("wb") as log:
        status = subprocess.run([*heygemd, "run", "--config", str(config), "--until-idle"], stderr=log, check=False)
    seconds = time.monotonic() - start
    problems = judge(root)
    films = len(list((root / "outbox/lines").glob("*.mp4")))
    print(f"{films} films, {seconds:.0f} s, exit {status.returncode}, {len(problems)} problems; in {folder}")
    print("\n".join(problems))
    return bool(problems)


def fill(inbox: Path) -> None:
    """One presenter, a sound for each row, and the manifest."""
    make = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=25:duration=0.4"]
    subprocess.run([*make, "-pix_fmt", "yuv420p", "-c:v", "libx264", str(inbox / "anna.mp4")], check=True)
    lines = ["id,video,audio,priority,crf"]
    for row in range(1, ROWS + 1):
        tone = b"".join(((i * (row + 50)) % 20000 - 10000).to_bytes(2, "little", signed=True) for i in range(6400))
        with wave.open(str(inbox / f"ep{row:03d}.wav"), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(tone)
        lines.append(BAD[row][0] if row in BAD else f"ep{row:03d},anna.mp4,ep{row:03d}.wav,,")
    (inbox / "lines.heygem.csv").write_text("\n".join(lines) + "\n")


def judge(root: Path) -> list[str]:
    """Say everything that is not as promised."""
    problems = []
    report = json.loads((root / "outbox/lines.report.json").read_text())
    rows = {row["number"]: row for row in report["rows"]}
    for row in range(1, ROWS + 1):
        told = rows.get(row)
        if told is None:
            problems.append(f"row {row} is not in the report")
        elif row in BAD:
            if (told["state"], told["error_code"], told["line"]) != ("refused", BAD[row][1], row + 1):
                problems.append(f"row {row}: {told['state']} {told['error_code']} line {told['line']}")
        elif told["state"] != "done" or not (root / "outbox" / told["output"]).is_file():
            problems.append(f"row {row}: {told['state']} {told['message']}")
    left = [path.name for path in (root / "processing").iterdir()]
    wanted = {f"ep{row:03d}.wav" for row in BAD}
    waiting = {path.name for path in (root / "inbox").iterdir()}
    if left or waiting - wanted:
        problems.append(f"left behind: {left + sorted(waiting - wanted)}")
    return problems


if __name__ == "__main__":
    sys.exit(main())
