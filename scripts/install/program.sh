# The program in /opt/heygemd: each version in an environment of its own; `venv` names the one in use. Sourced by
# install.sh. A running daemon keeps the environment that it was started from until it is restarted.
# shellcheck shell=bash disable=SC2034,SC2154  # names of layout.sh and install.sh

# What is installed beside the program itself: asked for now, or with the version in use.
extras() {
  if [[ -n $with_openvino ]]; then echo openvino; elif [[ -f $current/heygemd.extras ]]; then cat "$current/heygemd.extras"; fi
}

# Made from what: the same sources and extras and the same Python need no new environment.
fingerprint() {
  "$python" --version
  extras
  (cd "$checkout" && find heygemd pyproject.toml -type f ! -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 cksum) | cksum
}

is_current() {
  [[ -f $current/heygemd.stamp && $(<"$current/heygemd.stamp") == "$(fingerprint)" ]] &&
    "$current/bin/heygemd" --version >/dev/null 2>&1
}

# On a terminal: pip's present step on one line that is written over.
show_steps() {
  local line
  while IFS= read -r line; do
    if [[ -t 1 && $line =~ ^\ *(Collecting|Downloading|Building|Installing) ]]; then printf '\r\033[K  %.76s' "$line"; fi
  done
  if [[ -t 1 ]]; then printf '\r\033[K'; fi
}

# Make the environment `$release` beside the one in use. It is removed again when anything before the switch fails.
make_release() {
  local version chosen
  chosen=$(extras)
  version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$checkout/heygemd/__init__.py")
  release=$releases/${version:-unknown}-$(date -u +%Y%m%dT%H%M%S)
  while [[ -e $release ]]; do release+=a; done
  mkdir -p "$releases"
  say "making ${release#"$top"} with $("$python" --version)"
  "$python" -m venv --clear "$release" >>"$log" 2>&1 || stop_with_log "$python could not make $release"
  say "installing heygemd and its Python packages (the first time: some minutes, 2 GB and more)"
  if [[ ! -e /dev/nvidiactl ]] && ! "$release/bin/python" -m pip config list 2>/dev/null | grep -qE 'index-url|find-links'; then
    say "no NVIDIA GPU seen; PIP_EXTRA_INDEX_URL set to PyTorch's CPU index would fetch a far smaller torch"
  fi
  PIP_ROOT_USER_ACTION=ignore "$release/bin/python" -m pip install --no-input --progress-bar off "$checkout${chosen:+[$chosen]}" 2>&1 |
    tee -a "$log" | show_steps || stop_with_log "pip could not install heygemd"
  keep_parts "$release/share/heygemd"
  if [[ -n $chosen ]]; then echo "$chosen" >"$release/heygemd.extras"; fi
  fingerprint >"$release/heygemd.stamp"
}

# What is put elsewhere travels with each version, so that going back brings its own unit and so on back, too.
keep_parts() {
  mkdir -p "$1/scripts"
  cp -r "$checkout"/systemd/* "$checkout"/config/* "$checkout"/docs/*.md "$1"
  cp -r "$checkout"/scripts/{install.sh,uninstall.sh,install} "$1/scripts"
}

# Does what was made work, with the configuration of this machine? Nothing in use has been touched so far.
prove_release() {
  "$release/bin/heygemd" --version >>"$log" 2>&1 || stop_with_log "the new heygemd does not start"
  "$release/bin/python" -c 'import cv2, torch' >>"$log" 2>&1 || stop_with_log "the installed packages do not load"
  if [[ -e /dev/nvidiactl ]] &&
    [[ $("$release/bin/python" -c 'import torch; print(torch.version.cuda)' 2>/dev/null) == None ]]; then
    say "warning: there is an NVIDIA card, but the torch that pip chose is for the CPU only: look at PIP_EXTRA_INDEX_URL and the like, then run this with --rebuild"
  fi
  check_configuration "$release" ||
    stop "$EXIT_NEEDS" "the new heygemd refuses ${configuration#"$top"}/heygemd.toml (above): correct it, then run this again; nothing in use was changed"
}

# Says something only when it is refused: what it warns of, the doctor tells at the end.
check_configuration() {
  local words
  words=$(as_user "$1/bin/heygemd" config check --config "$configuration/heygemd.toml" 2>&1) || {
    printf '%s\n' "$words" >&2
    return 1
  }
}

# The roots that the configuration names, one a line.
served_roots() {
  "$python" -c 'import sys, tomllib; print(*tomllib.load(open(sys.argv[1], "rb")).get("roots", ()), sep="\n")' \
    "$configuration/heygemd.toml"
}

# Run as the service's user, with the variables that the service gets and nothing of ours.
as_user() {
  local -a variables=()
  local line
  if [[ -f $configuration/environment ]]; then
    while IFS= read -r line; do
      if [[ $line =~ ^(HEYGEMD_[A-Z0-9_]+)=[\"\']?(.*[^\"\'])[\"\']?$ ]]; then
        variables+=("${BASH_REMATCH[1]}=${BASH_REMATCH[2]}")
      fi
    done <"$configuration/environment"
  fi
  (cd / && umask 0007 && runuser -u "$user" -- env -i PATH="$PATH" HOME="$state" LANG="${LANG:-C.UTF-8}" \
    ${variables[@]+"${variables[@]}"} "$@")
}

# A link is exchanged by one rename: there is no moment without a program.
point() {
  mkdir -p "$(dirname "$1")"
  ln -sfn "$2" "$1.new"
  mv -T "$1.new" "$1"
}

switch_to() {
  local old="" new
  new=releases/$(basename "$1")
  if [[ -L $current ]]; then old=$(readlink "$current"); fi
  point "$current" "$new"
  if [[ -n $old && $old != "$new" ]]; then point "$previous" "$old"; fi
  changed=yes
}

# What is neither in use nor the way back goes, and what an interrupted run left.
remove_old_releases() {
  local one
  for one in "$releases"/*; do
    if [[ -d $one && ! $one -ef $current && ! $one -ef $previous ]]; then rm -rf "$one"; fi
  done
}

# The other way round: what was in use before comes back, and what was in use can come back after it.
roll_back() {
  [[ -x $previous/bin/heygemd ]] || stop "$EXIT_FAILED" "there is no earlier version to go back to"
  release=$(readlink -f "$previous")
  "$release/bin/heygemd" --version >>"$log" 2>&1 || stop_with_log "the earlier version does not start"
  check_configuration "$release" ||
    stop "$EXIT_NEEDS" "the earlier version refuses ${configuration#"$top"}/heygemd.toml (above): take out what it does not know, then run this again"
  switch_to "$release"
  say "back to $("$release/bin/heygemd" --version), ${release#"$top"}"
}
