# Where things lie, and how install.sh and uninstall.sh talk. Sourced by both; changes nothing.
# INSTALL_TOP: another top than /, for tests.
# shellcheck shell=bash disable=SC2034,SC2154  # the names are used by those who source this; they set `voice`

top=${INSTALL_TOP:-}
user=heygemd

program=$top/opt/heygemd
releases=$program/releases
current=$program/venv
previous=$program/venv.previous
shipped=$program/shipped
command_link=$top/usr/local/bin/heygemd

configuration=$top/etc/heygemd
state=$top/var/lib/heygemd
cache=$top/var/cache/heygemd
logs=$top/var/log/heygemd
first_root=/srv/heygemd

# Files of ours lie below /usr/local/lib, where systemd looks, too: /etc is left to the administrator.
unit=$top/usr/local/lib/systemd/system/heygemd.service
sysusers=$top/usr/local/lib/sysusers.d/heygemd.conf
tmpfiles=$top/usr/local/lib/tmpfiles.d/heygemd.conf
catalog=$top/usr/local/lib/systemd/catalog/heygemd.catalog
drop_ins=$top/etc/systemd/system/heygemd.service.d
roots_drop_in=$drop_ins/roots.conf
logrotate=$top/etc/logrotate.d/heygemd
samba=$top/etc/samba
share=$samba/heygemd.conf
include_line="include = /etc/samba/heygemd.conf"

completion_bash=$top/usr/local/share/bash-completion/completions/heygemd
completion_zsh=$top/usr/local/share/zsh/site-functions/_heygemd
completion_fish=$top/usr/local/share/fish/vendor_completions.d/heygemd.fish

# Root's own file, not in the directory of the service: a service must not choose where root writes.
log=$top/var/log/heygemd-install.log

EXIT_FAILED=1
EXIT_USAGE=2
EXIT_NOT_ROOT=77
EXIT_NEEDS=78

say() { printf '%s: %s\n' "$voice" "$*"; }

# $1: exit code; the rest: what is wrong and what to do.
stop() {
  local code=$1
  shift
  printf '%s: %s\n' "$voice" "$*" >&2
  exit "$code"
}

stop_with_log() {
  tail -n 25 "$log" >&2
  stop "$EXIT_FAILED" "$1 (above: the end of $log)"
}

require_root() {
  [[ $(id -u) == 0 ]] || stop "$EXIT_NOT_ROOT" "this changes the system: run it with sudo"
}

# Only one of these scripts at a time.
take_lock() {
  mkdir -p "$program"
  exec 9>"$program/.lock"
  flock -n 9 || stop "$EXIT_FAILED" "another install.sh or uninstall.sh is at work; wait until it has ended"
}

is_systemd_running() { [[ -d $top/run/systemd/system ]]; }
