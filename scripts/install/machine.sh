# What the machine must have, and what apt is asked for. Sourced by install.sh.
# shellcheck shell=bash disable=SC2034,SC2154  # names of layout.sh and install.sh

find_python() {
  local name
  for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  return 1
}

# shellcheck disable=SC1091
os_name() { (. "$top/etc/os-release" && echo "$PRETTY_NAME") 2>/dev/null || echo "this system"; }

check_machine() {
  local version=""
  [[ $(uname -s) == Linux ]] || stop "$EXIT_NEEDS" "heygemd runs on Linux only"
  command -v systemctl >/dev/null ||
    stop "$EXIT_NEEDS" "$(os_name) has no systemd; without it: make setup, then .venv/bin/heygemd run --root DIR"
  read -r _ version _ < <(systemctl --version)
  if [[ $version =~ ^[0-9]+ ]] && ((BASH_REMATCH[0] < 252)); then
    stop "$EXIT_NEEDS" "systemd 252 or newer is needed, but $(os_name) has $version; Debian 12, Ubuntu 24.04 and newer have one"
  fi
  python=$(find_python) ||
    stop "$EXIT_NEEDS" "Python 3.11 or newer is needed and was not found on $(os_name); Debian 12, Ubuntu 24.04 and newer: sudo apt-get install -y python3"
}

loads() { "$python" -c "import ctypes; ctypes.CDLL('$1')" 2>/dev/null; }

has_ffmpeg() { command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null; }

has_samba() { command -v smbd >/dev/null && command -v testparm >/dev/null && command -v smbpasswd >/dev/null; }

# Debian packages that are missing, one a line. opencv-python's wheel links against libGL and libgthread.
missing_packages() {
  "$python" -c 'import ensurepip, venv' 2>/dev/null || echo "$(basename "$python")-venv"
  has_ffmpeg || echo ffmpeg
  loads libGL.so.1 || echo libgl1
  loads libgthread-2.0.so.0 || echo libglib2.0-0
  command -v setfacl >/dev/null || echo acl
  command -v logrotate >/dev/null || echo logrotate
  [[ -z $with_samba ]] || has_samba || echo samba
}

apt_get() {
  env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1
}

install_packages() {
  local -a packages
  mapfile -t packages < <(missing_packages)
  ((${#packages[@]})) || return 0
  command -v apt-get >/dev/null ||
    stop "$EXIT_NEEDS" "missing: ${packages[*]} (names of Debian packages); install them with this system's package manager, then run this again"
  say "installing through apt: ${packages[*]}"
  apt_get update || say "apt-get update failed; trying with the package lists at hand"
  apt_get install -y --no-install-recommends "${packages[@]}" ||
    stop_with_log "apt-get could not install: ${packages[*]}"
  mapfile -t packages < <(missing_packages)
  ((${#packages[@]} == 0)) || stop_with_log "still missing after apt-get install: ${packages[*]}"
}

check_ffmpeg() {
  local version=""
  read -r _ _ version _ < <(ffmpeg -version 2>/dev/null) || true
  # Builds from git are named N-12345-g…; they are newer than any release that is too old.
  if [[ $version =~ ^n?([0-9]+)\.([0-9]+) ]] && ((BASH_REMATCH[1] * 100 + BASH_REMATCH[2] < 501)); then
    stop "$EXIT_NEEDS" "ffmpeg 5.1 or newer is needed, but $(command -v ffmpeg) is $version; Debian 12 and Ubuntu 24.04 have one: sudo apt-get install -y ffmpeg"
  fi
  if [[ $(ffmpeg -hide_banner -encoders 2>/dev/null) != *libx264* ]]; then
    stop "$EXIT_NEEDS" "$(command -v ffmpeg) cannot encode H.264 (no libx264); the one of the distribution can: sudo apt-get install -y ffmpeg"
  fi
}
