#!/usr/bin/env bash
# Make .venv and everything the project needs; a second run ends at once.
#
#     scripts/setup.sh [--tests]
#
# Wants: python3 >= 3.11. Installs through apt what else is missing, when that is permitted; else says what to type.
# --tests fetches the programs that tests drive (a Samba server, a browser), too; without them those tests are skipped.
# PYTHON=python3.12 chooses an interpreter; pip's own PIP_* variables are honoured.
set -euo pipefail
cd -P "$(dirname "$0")/.."

venv=.venv
stamp=$venv/setup.stamp
tests_stamp=$venv/tests.stamp
log=build/setup.log

say() { printf 'setup: %s\n' "$*"; }

stop() { printf 'setup: %s\n' "$*" >&2; exit 1; }

stop_with_log() {
  tail -n 25 "$log" >&2
  stop "$1 (above: the end of $log)"
}

# What the environment was made from, and where: a moved checkout or a changed pyproject.toml is set up again.
fingerprint() {
  pwd
  cksum pyproject.toml scripts/setup.sh
}

is_done() {
  [[ -x $venv/bin/python && -f $stamp && $(<"$stamp") == "$(fingerprint)" ]] && has_ffmpeg
}

has_ffmpeg() { command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null; }

find_python() {
  local name
  for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  return 1
}

loads() { "$python" -c "import ctypes; ctypes.CDLL('$1')" 2>/dev/null; }

# Debian packages that are missing, one a line. opencv-python's wheel links against libGL and libgthread.
missing_packages() {
  "$python" -c 'import ensurepip, venv' 2>/dev/null || echo "$(basename "$python")-venv"
  has_ffmpeg || echo ffmpeg
  loads libGL.so.1 || echo libgl1
  loads libgthread-2.0.so.0 || echo libglib2.0-0
}

# Is apt-get there, and may we? Sets `as_root`, what goes before a command of root.
as_root=()
may_install() {
  command -v apt-get >/dev/null || return 1
  [[ $(id -u) != 0 ]] || return 0
  sudo -n true 2>/dev/null || return 1
  as_root=(sudo -n)
}

apt_get() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1
}

fetch_package_lists() { apt_get update || say "apt-get update failed; trying with the package lists at hand"; }

install_packages() {
  if ! command -v apt-get >/dev/null; then
    stop "missing: $* (names of Debian packages); install them with this system's package manager, then run make setup again."
  fi
  may_install || stop "something is missing that only root may install; please run: sudo apt-get install -y $*"
  say "installing through apt: $*"
  fetch_package_lists
  apt_get install -y --no-install-recommends "$@" || stop_with_log "apt-get could not install: $*"
}

has_samba() {
  local tool
  for tool in smbd smbpasswd smbclient; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || return 1
  done
}

has_browser() { command -v chromium >/dev/null || command -v google-chrome >/dev/null; }

# Packages of programs that tests drive and that are missing, a line for those that belong together. Only root may
# start smbd as the tests do.
missing_test_packages() {
  [[ $(id -u) != 0 ]] || has_samba || echo "samba smbclient"
  # A container without an init gets systemd, which tests boot in namespaces; a whole system keeps the init it has.
  [[ $(id -u) != 0 || -e /sbin/init ]] || echo "systemd logrotate"
  has_browser || echo "chromium"
  command -v strace >/dev/null || echo "strace"
  command -v flite >/dev/null || echo "flite"
}

# Ubuntu's package of a browser only fetches a snap, which does not run everywhere.
is_offered() {
  local word version=""
  while read -r word version; do
    [[ $word != Candidate: ]] || break
  done < <(LC_ALL=C apt-cache policy "$1" 2>>"$log")
  [[ -n $version && $version != "(none)" && $version != *snap* ]]
}

# Debian asks this program whether a service may start (its policy-rc.d). POLICY_RC_D: another place, for tests.
policy=${POLICY_RC_D:-/usr/sbin/policy-rc.d}
install_without_starting() {
  local status=0
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null || return 1
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    "${as_root[@]}" chmod 755 "$policy"
  fi
  apt_get install -y --no-install-recommends "$@" || status=1
  if [[ $* == *samba* && -d /run/systemd/system ]]; then
    "${as_root[@]}" systemctl disable --now smbd nmbd samba-ad-dc >>"$log" 2>&1 || true
  fi
  return $status
}

# Never fails: what is missing afterwards is skipped by the tests. It is tried once; remove the stamp to try again.
install_test_tools() {
  local -a missing
  local packages
  mapfile -t missing < <(missing_test_packages)
  if ((${#missing[@]} == 0)) || [[ -f $tests_stamp && $(<"$tests_stamp") == "$(fingerprint)" ]]; then return; fi
  mkdir -p build
  : >>"$log"
  if may_install; then
    say "installing for the tests, through apt: ${missing[*]}"
    fetch_package_lists
    for packages in "${missing[@]}"; do
      # shellcheck disable=SC2086  # names of packages, separated by blanks
      if is_offered "${packages%% *}" && install_without_starting $packages; then continue; fi
      say "not to be had here: $packages; the tests that need it are skipped"
    done
  else
    say "tests that need ${missing[*]} (Debian packages) are skipped: only root may install them"
  fi
  fingerprint >"$tests_stamp"
}

check_ffmpeg() {
  local version=""
  read -r _ _ version _ < <(ffmpeg -version 2>/dev/null) || true
  # Builds from git are named N-12345-g…; they are newer than any release that is too old.
  if [[ $version =~ ^n?([0-9]+)\.([0-9]+) ]] && ((BASH_REMATCH[1] * 100 + BASH_REMATCH[2] < 501)); then
    stop "ffmpeg 5.1 or newer is needed, but $(command -v ffmpeg) is $version; Debian 12 and Ubuntu 24.04 have one: sudo apt-get install -y ffmpeg"
  fi
  if [[ $(ffmpeg -hide_banner -encoders 2>/dev/null) != *libx264* ]]; then
    stop "$(command -v ffmpeg) cannot encode H.264 (no libx264); the one of the distribution can: sudo apt-get install -y ffmpeg"
  fi
}

# An environment that was moved, or made by an older Python, is made anew; any other one is kept.
make_venv() {
  if [[ -x $venv/bin/python ]] && grep -qF "$PWD/$venv" "$venv/bin/activate" &&
    "$venv/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    return
  fi
  say "making $venv with $("$python" --version)"
  "$python" -m venv --clear "$venv" >>"$log" 2>&1 || stop_with_log "$python could not make $venv"
}

# On a terminal: pip's present step on one line that is written over.
show_steps() {
  local line
  while IFS= read -r line; do
    if [[ -t 1 && $line =~ ^\ *(Collecting|Downloading|Building|Installing) ]]; then printf '\r\033[K  %.76s' "$line"; fi
  done
  if [[ -t 1 ]]; then printf '\r\033[K'; fi
}

install_python_packages() {
  say "installing Python packages (the first time: some minutes, 2 GB and more)"
  if [[ ! -e /dev/nvidiactl && -z ${PIP_FIND_LINKS:-}${PIP_INDEX_URL:-}${PIP_EXTRA_INDEX_URL:-} ]]; then
    say "no NVIDIA GPU seen; PIP_EXTRA_INDEX_URL set to PyTorch's CPU index would fetch a far smaller torch"
  fi
  "$venv/bin/python" -m pip install --no-input --progress-bar off -e '.[dev]' 2>&1 | tee -a "$log" | show_steps ||
    stop_with_log "pip could not install the packages"
  "$venv/bin/python" -c 'import cv2, torch' >>"$log" 2>&1 || stop_with_log "the installed packages do not load"
}

set_up() {
  mkdir -p build
  : >"$log"
  # pip keeps a cache in HOME; a service account often has none.
  [[ -n ${HOME:-} && -d $HOME && -w $HOME ]] || export PIP_NO_CACHE_DIR=1

  python=$(find_python) || stop "Python 3.11 or newer is needed and was not found; on Debian 12, Ubuntu 24.04 and newer: sudo apt-get install -y python3"
  mapfile -t packages < <(missing_packages)
  if ((${#packages[@]})); then
    install_packages "${packages[@]}"
    mapfile -t packages < <(missing_packages)
    ((${#packages[@]} == 0)) || stop_with_log "still missing after apt-get install: ${packages[*]}"
  fi
  check_ffmpeg
  make_venv
  install_python_packages
  fingerprint >"$stamp"
  say "done in $SECONDS s; .venv takes $(du -sh "$venv" | cut -f1)"
}

[[ $# == 0 || $* == --tests ]] || stop "unknown: $*; the only option is --tests"
if ! is_done; then set_up; fi
if [[ $* == --tests ]]; then install_test_tools; fi
