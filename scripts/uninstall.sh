#!/usr/bin/env bash
# Take heygemd off this machine.
#
#     sudo scripts/uninstall.sh [--purge [--yes]]
#
# Stops the service and removes the program, the unit and what belongs to them. The configuration, the job store, the
# logs and the share's settings stay, so that a later install goes on where this one stopped.
#
#   --purge   removes those, too, after a question
#   --yes     do not ask
#
# Roots (inbox, outbox, done, failed) and the films in them are never touched, nor is the user who owns them. A copy of
# this script lies in /opt/heygemd/venv/share/heygemd/scripts. Exit codes as those of install.sh.
set -euo pipefail
umask 022

read_options() {
  while (($#)); do
    case $1 in
      --purge) purge=yes ;;
      --yes) sure=yes ;;
      -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$here/uninstall.sh"; exit 0 ;;
      *) stop "$EXIT_USAGE" "unknown: $1; see scripts/uninstall.sh --help" ;;
    esac
    shift
  done
  [[ -z $sure || -n $purge ]] || stop "$EXIT_USAGE" "--yes goes with --purge"
}

ask() {
  local answer=""
  if [[ -z $purge || -n $sure ]]; then return; fi
  say "--purge removes, for good: ${configuration#"$top"}, ${state#"$top"} (the record of all jobs, caches, weights in models/), ${logs#"$top"}"
  [[ -t 0 ]] || stop "$EXIT_USAGE" "nobody can be asked here: give --yes, too"
  read -rp "$voice: type purge to go on: " answer
  [[ $answer == purge ]] || stop "$EXIT_FAILED" "nothing was removed"
}

stop_service() {
  if is_systemd_running && systemctl --quiet is-active heygemd 2>/dev/null; then
    say "stopping the service; the piece of film in work is finished or dropped, and taken up by a later install"
    systemctl stop heygemd || stop "$EXIT_FAILED" "the service does not stop: systemctl status heygemd"
  fi
  if [[ -e $unit ]]; then systemctl disable heygemd >>"$log" 2>&1 || true; fi
}

remove_program() {
  rm -f "$unit" "$sysusers" "$tmpfiles" "$catalog" "$completion_bash" "$completion_zsh" "$completion_fish"
  if cmp -s "$logrotate" "$shipped/heygemd" || [[ -n $purge ]]; then rm -f "$logrotate"; fi
  if [[ -L $command_link && $(readlink "$command_link") == /opt/heygemd/* ]]; then rm -f "$command_link"; fi
  rm -rf --one-file-system "$program"
  journalctl --update-catalog >>"$log" 2>&1 || true
  if is_systemd_running; then
    systemctl daemon-reload
    systemctl reset-failed heygemd 2>/dev/null || true
  fi
}

# A directory in which somebody keeps a root stays, whatever was asked for.
remove_directory() {
  local root
  if [[ ! -d $1 ]]; then return; fi
  root=$(find "$1" -path '*/.heygemd/root.json' -print -quit)
  if [[ -n $root ]]; then
    say "kept ${1#"$top"}: a root lies in it, ${root%/.heygemd/root.json}"
  else
    rm -rf --one-file-system "$1"
  fi
}

remove_everything_else() {
  leave_samba
  remove_directory "$configuration"
  remove_directory "$state"
  remove_directory "$cache"
  remove_directory "$logs"
  rm -rf "$drop_ins"
  if is_systemd_running; then systemctl daemon-reload; fi
}

# The script may lie in what it removes, so all of it is read before anything happens.
main() {
  here=$(cd -P "$(dirname "$0")" && pwd)
  voice=uninstall
  purge="" sure=""
  # shellcheck source=scripts/install/layout.sh
  . "$here/install/layout.sh"
  # shellcheck source=scripts/install/samba.sh
  . "$here/install/samba.sh"
  read_options "$@"
  require_root
  mkdir -p "$(dirname "$log")"
  (umask 077 && : >"$log")
  [[ -e $program || -e $unit || -n $purge ]] || stop 0 "heygemd is not installed here"
  ask
  take_lock
  stop_service
  remove_program
  if [[ -n $purge ]]; then
    remove_everything_else
    rm -f "$log"
    say "removed, with configuration, job store and logs"
  else
    say "removed; kept: ${configuration#"$top"}, ${state#"$top"}, ${logs#"$top"} (--purge removes them, too)"
    if [[ -e $share ]]; then say "kept: the Samba share, ${share#"$top"} (--purge removes that, too)"; fi
  fi
  say "your roots are as they were; the user $user owns them (when they are gone: sudo userdel $user)"
  exit 0
}

main "$@"
