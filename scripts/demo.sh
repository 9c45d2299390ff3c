#!/usr/bin/env bash
# The demo: a still portrait in the public domain says two sentences that it never said. Everything lies in ./demo.
#
# Run by `make demo`, which sets up first. Each run begins with an empty root, so it always makes the films anew.
set -euo pipefail
cd -P "$(dirname "$0")/.."

bin=$PWD/.venv/bin
root=$PWD/demo/root
export HEYGEMD_STATE_DIR=$PWD/demo/state
# A terminal shows a bar for each film, which log lines would tear; elsewhere the log is the progress.
if [[ -t 2 ]]; then export HEYGEMD_LOG_LEVEL=${HEYGEMD_LOG_LEVEL:-warning}; fi

say() { printf 'demo: %s\n' "$*"; }

# Drop a pair as a careful person does: copy under a name that heygemd ignores, then rename. $1 = name, $2 = voice
drop() {
  cp demo/presenter.mp4 "$root/inbox/.$1.mp4.part"
  cp "$2" "$root/inbox/.$1.flac.part"
  mv "$root/inbox/.$1.mp4.part" "$root/inbox/$1.mp4"
  mv "$root/inbox/.$1.flac.part" "$root/inbox/$1.flac"
  say "dropped $1.mp4 and $1.flac into demo/root/inbox"
}

if [[ -L demo ]]; then
  echo "demo: ./demo is a symbolic link; it must be a folder of this checkout" >&2
  exit 1
fi
rm -rf demo/root demo/state
mkdir -p demo/state

say "filming the presenter (a moving camera over a still portrait; nobody speaks in it)"
"$bin/python" scripts/demo/make_presenter.py demo/presenter.mp4
"$bin/heygemd" init-root "$root"
drop hello scripts/demo/voice_en.flac
drop 你好 scripts/demo/voice_zh.flac

say "making the films: heygemd run --root demo/root --until-idle"
began=$(date +%s%N)
status=0
"$bin/heygemd" run --root "$root" --until-idle || status=$?
elapsed_ms=$((($(date +%s%N) - began) / 1000000))
"$bin/python" scripts/demo/show_films.py --root demo/root --elapsed-ms "$elapsed_ms" hello 你好 || status=1
exit "$status"
