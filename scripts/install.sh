#!/usr/bin/env bash
# Put heygemd on this machine as a service, or bring an installed one to the version of this checkout.
#
#     sudo scripts/install.sh [--root DIR]... [--samba] [--openvino] [--no-start] [--rebuild]
#     sudo scripts/install.sh --rollback
#
#   --root DIR   a folder that people share, instead of /srv/heygemd; may be repeated. Made if absent.
#   --samba      install Samba, too, and export the first root as \\HOST\films
#   --openvino   install OpenVINO, too, which may compute wav2lip faster on processors; later upgrades keep it
#   --no-start   do not start or restart the service
#   --rebuild    install the Python packages anew although nothing changed (another torch, say)
#   --rollback   go back to the version that was in use before the last upgrade
#
# Wants Debian 12, Ubuntu 24.04 or newer. Installs through apt what is missing. pip's own PIP_* variables are
# honoured (sudo keeps them only with: sudo --preserve-env=PIP_EXTRA_INDEX_URL ...). A second run changes nothing.
# What exists in /etc/heygemd is never changed. Exit codes: 0 done, 1 failed, 2 wrong usage, 77 not root, 78 the
# machine or the configuration lacks something that is named.
#
# Where systemd does not run (a chroot, an image): everything is installed and enabled, nothing is started.
set -euo pipefail
umask 022
here=$(cd -P "$(dirname "$0")" && pwd)
checkout=$(dirname "$here")
voice=install
# shellcheck source=scripts/install/layout.sh
. "$here/install/layout.sh"
# shellcheck source=scripts/install/machine.sh
. "$here/install/machine.sh"
# shellcheck source=scripts/install/program.sh
. "$here/install/program.sh"
# shellcheck source=scripts/install/places.sh
. "$here/install/places.sh"
# shellcheck source=scripts/install/samba.sh
. "$here/install/samba.sh"

roots=()
with_samba="" with_openvino="" start=yes rebuild="" rollback=""
changed="" release=""

read_options() {
  local place
  while (($#)); do
    case $1 in
      --root)
        (($# > 1)) || stop "$EXIT_USAGE" "--root needs a folder"
        place=$(realpath -m -- "$2")
        check_root_path "$place"
        roots+=("$place")
        shift ;;
      --samba) with_samba=yes ;;
      --openvino) with_openvino=yes ;;
      --no-start) start="" ;;
      --rebuild) rebuild=yes ;;
      --rollback) rollback=yes ;;
      -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$here/install.sh"; exit 0 ;;
      *) stop "$EXIT_USAGE" "unknown: $1; see scripts/install.sh --help" ;;
    esac
    shift
  done
}

# What was begun and not finished goes; what is in use stays as it was.
clean_up() {
  if [[ -n $release && -d $release && ! $release -ef $current && ! $release -ef $previous ]]; then rm -rf "$release"; fi
}

install_program() {
  if [[ -z $rebuild ]] && is_current; then
    say "the program is this version already: $("$current/bin/heygemd" --version)"
    release=$(readlink -f "$current")
    keep_parts "$release/share/heygemd"
    prove_release
    return
  fi
  make_release
  prove_release
  switch_to "$release"
  remove_old_releases
}

# An earlier run may have written the configuration and ended before the root was made. Any other root that is missing
# may be a share that is not mounted just now.
add_first_root() {
  if [[ ${#roots[@]} == 0 && ! -e $top$first_root ]] && served_roots | grep -qxF "$first_root"; then
    roots=("$first_root")
  fi
}

# An upgrade with --no-start, or one that was interrupted, leaves the old version running.
runs_another_version() {
  local pid
  pid=$(systemctl show heygemd --property MainPID --value)
  [[ $pid =~ ^[1-9] && -r /proc/$pid/cmdline ]] &&
    ! tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qF "$(readlink -f "$current")/"
}

# The first time the service is enabled; later it stays as the administrator has it.
start_service() {
  if [[ -n $is_first ]]; then systemctl enable heygemd >>"$log" 2>&1 || stop_with_log "systemctl enable heygemd failed"; fi
  if ! is_systemd_running; then
    say "systemd does not run here: nothing was started; the service starts with the next boot"
    return
  fi
  systemctl daemon-reload
  if [[ -z $start ]]; then
    say "not started, as you said: sudo systemctl restart heygemd"
  elif ! systemctl --quiet is-enabled heygemd; then
    say "heygemd.service is not enabled, so it was not started: sudo systemctl enable --now heygemd"
  elif [[ -z $changed ]] && systemctl --quiet is-active heygemd && ! runs_another_version; then
    say "nothing changed; the service goes on"
  else
    say "starting the service (it is ready when what an earlier run left is taken up)"
    systemctl restart heygemd || explain_start
  fi
}

explain_start() {
  journalctl --unit heygemd --lines 15 --no-pager --output cat >&2 || true
  if [[ -L $previous ]]; then say "to go back to the version before: sudo scripts/install.sh --rollback"; fi
  stop "$EXIT_FAILED" "the service did not start (above: its last words; more: journalctl -xu heygemd)"
}

# What the doctor finds wrong is told, and no reason to undo anything: a share that is away just now, say.
ask_doctor() {
  local findings
  findings=$("$current/bin/heygemd" doctor --quick --config "$configuration/heygemd.toml" 2>&1) || {
    grep -E '^(!!|\?\?|  )' <<<"$findings" >&2 || printf '%s\n' "$findings" >&2
    say "the doctor found something to mend (above)"
  }
}

say_what_next() {
  local one
  say "done in $SECONDS s: $("$current/bin/heygemd" --version)"
  while IFS= read -r one; do
    say "drop talk.mp4 and talk.wav into $one/inbox; the film appears in $one/outbox"
  done < <(served_roots)
  say "local people may do so once they are in the group: sudo usermod -aG $user NAME (then log in anew)"
  if [[ -n $with_samba ]]; then
    say "through the share: sudo smbpasswd -a NAME for each of them, then open \\\\$(uname -n)\\$(share_name)"
  fi
  say "how it stands: sudo heygemd status; what is wrong: sudo heygemd doctor; what happened: journalctl -u heygemd"
}

main() {
  read_options "$@"
  require_root
  mkdir -p "$(dirname "$log")"
  (umask 077 && : >"$log")
  check_machine
  take_lock
  is_first=yes
  if [[ -e $unit ]]; then is_first=""; fi
  trap clean_up EXIT
  if [[ -n $rollback ]]; then
    roll_back
  else
    [[ -f $checkout/pyproject.toml ]] || stop "$EXIT_USAGE" "run this from a checkout of heygemd"
    # pip keeps a cache in HOME; root of an image often has none.
    [[ -n ${HOME:-} && -d $HOME && -w $HOME ]] || export PIP_NO_CACHE_DIR=1
    install_packages
    check_ffmpeg
    make_user "$checkout/systemd"
    make_directories "$checkout/systemd"
    if [[ ! -e $configuration/heygemd.toml && ${#roots[@]} == 0 ]]; then roots=("$first_root"); fi
    make_configuration "$checkout/config"
    add_first_root
    install_program
  fi
  local share_dir=$current/share/heygemd one
  place_files "$share_dir"
  allow_roots
  for one in ${roots[@]+"${roots[@]}"}; do make_root "$one"; done
  if [[ -n $with_samba ]]; then install_share "$share_dir"; fi
  warn_of_roots
  start_service
  ask_doctor
  say_what_next
}

main "$@"
