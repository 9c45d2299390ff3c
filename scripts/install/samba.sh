# The share for people with Windows, macOS or Linux. Sourced by install.sh, and by uninstall.sh for `leave_samba`.
# smb.conf gets one line, and loses it again when testparm does not like the result.
# shellcheck shell=bash disable=SC2034,SC2154  # names of layout.sh and install.sh

is_readable_by_samba() { testparm -s --suppress-prompt "$1" >>"$log" 2>&1; }

# The name of the share may be changed in heygemd.conf: whatever it is called there.
share_name() { sed -n 's/^\[\(.*\)\]$/\1/p' "$share" | head -n 1; }

install_share() {
  local conf=$samba/smb.conf draft name root line
  draft=$(mktemp)
  root=$(served_roots | head -n 1)
  while IFS= read -r line; do
    if [[ $line =~ ^(\ *path\ =\ ) ]]; then line=${BASH_REMATCH[1]}$root; fi
    printf '%s\n' "$line"
  done <"$1/smb.conf.example" >"$draft"
  put_unless_changed "$draft" "$share"
  rm -f "$draft"
  name=$(share_name)
  if grep -qxF "$include_line" "$conf" 2>/dev/null; then
    is_readable_by_samba "$conf" || say "warning: testparm complains about ${conf#"$top"}: run it to see why"
  else
    include_share "$conf" "$name"
  fi
  reload_samba
}

include_share() {
  local conf=$1 name=$2 before
  [[ -e $conf ]] || printf '[global]\n' >"$conf"
  is_readable_by_samba "$conf" ||
    stop_with_log "${conf#"$top"} has an error already, so nothing was added to it: correct it, then run this again"
  if testparm -s --suppress-prompt --section-name="$name" --parameter-name=path "$conf" >>"$log" 2>&1; then
    stop "$EXIT_NEEDS" "${conf#"$top"} has a share [$name] already: give the one in ${share#"$top"} another name, then run this again"
  fi
  before=$conf.before-heygemd
  cp -p "$conf" "$before"
  printf '\n# Made by heygemd (scripts/install.sh --samba).\n%s\n' "$include_line" >>"$conf"
  if ! is_readable_by_samba "$conf"; then
    mv -f "$before" "$conf"
    stop_with_log "testparm refuses ${share#"$top"}, so ${conf#"$top"} is as it was"
  fi
  say "share [$name] added to ${conf#"$top"}; the file as it was: ${before#"$top"}"
}

reload_samba() {
  is_systemd_running || return 0
  systemctl reload-or-restart smbd >>"$log" 2>&1 || say "warning: smbd could not be reloaded: journalctl -u smbd says why"
}

# Take the line out again; the rest of smb.conf stays as it is now.
leave_samba() {
  local conf=$samba/smb.conf
  if [[ -f $conf ]] && grep -qxF "$include_line" "$conf"; then
    cp -p "$conf" "$conf.new"
    grep -vxF -e "$include_line" -e "# Made by heygemd (scripts/install.sh --samba)." "$conf" >"$conf.new" || true
    mv -f "$conf.new" "$conf"
    reload_samba
  fi
  rm -f "$share" "$conf.before-heygemd"
}
