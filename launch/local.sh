#!/usr/bin/env bash
# Runs `genjax <command> ...` in an environment of this checkout, which it makes when it is missing or
# out of date:
#
#   launch/local.sh train --config=configs/digits/vae.py --workdir=runs/vae
#   launch/local.sh test [--full | --quick] [pytest arguments]   (docs/testing.md)
#
#   PYTHON         the interpreter to build on (else the newest Python >= 3.11 on the PATH)
#   GENJAX_VENV    where the environment lies (else .venv in the checkout)
#   GENJAX_EXTRAS  optional parts to install, such as cuda or cuda,wandb
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=${GENJAX_VENV:-$root/.venv}
case $venv in /*) ;; *) venv=$PWD/$venv ;; esac
extras=${GENJAX_EXTRAS:-}
[ "${1:-}" != test ] || extras=${extras:+$extras,}test

die() {
  echo "launch/local.sh: $*" >&2
  exit 1
}

# --- Is the environment as it should be?
# A stamp is written after each complete installation: one for every set of extras, with all that
# the installation depends on. No stamp in an environment of ours: it was interrupted.

ours=$venv/.genjax # this folder says who made the environment
stamp=$ours/installed-$extras

wanted() { # what the stamp says when the environment is up to date
  echo "checkout $root"
  cat "$root/pyproject.toml" "$root/constraints.txt"
}

version_of() {
  "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])'
}

sound() { # an environment that works, on the Python asked for
  [ -x "$venv/bin/python" ] || return 1
  [ -z "${PYTHON:-}" ] ||
    [ "$(version_of "$PYTHON" 2>/dev/null)" = "$(version_of "$venv/bin/python")" ]
}

ready() {
  [ -f "$stamp" ] && [ "$(wanted)" = "$(cat "$stamp")" ] && sound
}

# --- Making it

find_uv() { # a uv that runs (a pyenv shim may not)
  command -v uv >/dev/null && uv --version >/dev/null 2>&1
}

find_python() { # sets `python` to an interpreter that runs and can make environments
  local needs='import sys, venv; assert sys.version_info >= (3, 11)'
  find_uv || needs+='; import ensurepip'
  local name candidate names=(python3.14 python3.13 python3.12 python3.11 python3 python)
  [ -z "${PYTHON:-}" ] || names=("$PYTHON")
  for name in "${names[@]}"; do
    while read -r candidate; do
      if "$candidate" -c "$needs" >/dev/null 2>&1; then
        python=$candidate
        return
      fi
    done < <(type -ap "$name")
  done
  if [ -n "${PYTHON:-}" ]; then
    die "PYTHON=$PYTHON does not run, is older than 3.11 or lacks the venv module"
  fi
  die 'no Python >= 3.11 (with its venv module) on the PATH; install one, or name it in PYTHON'
}

lock() { # holds descriptor 9 locked until this script ends (macOS has no flock command)
  mkdir -p "$(dirname -- "$venv")"
  exec 9>"$venv.lock"
  "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
}

install() {
  local started=$SECONDS with=pip fresh=yes
  ! find_uv || with=uv
  if [ -e "$venv" ] && [ ! -d "$ours" ] && [ -n "$(ls -A "$venv")" ]; then
    die "$venv exists and was not made here; remove it, or name another place in GENJAX_VENV"
  fi
  if sound && grep -qsxF "checkout $root" "$ours"/installed-*; then
    fresh=no # complete once, and only older: update it
  fi
  rm -f -- "$ours"/installed-*
  if [ $fresh = yes ]; then
    echo "genjax: making $venv with Python $(version_of "$python") and $with; a minute or two" >&2
    mkdir -p "$ours"
    find "$venv" -mindepth 1 -maxdepth 1 ! -name .genjax -exec rm -rf {} +
    if [ $with = uv ]; then
      "$python" -m venv --without-pip "$venv"
    else
      "$python" -m venv "$venv"
    fi
  else
    echo "genjax: updating $venv with $with" >&2
  fi

  local what=("-e" "$root${extras:+[$extras]}" "-c" "$root/constraints.txt")
  if [ $with = uv ]; then
    uv pip install --quiet --python "$venv/bin/python" "${what[@]}"
  else
    "$venv/bin/python" -I -m pip install --quiet --quiet --disable-pip-version-check "${what[@]}"
  fi || die 'the installation failed; the lines above say why'
  wanted >"$ours/installed-"
  wanted >"$stamp"
  echo "genjax: environment ready after $((SECONDS - started)) s" >&2
}

if ! ready; then
  find_python
  lock
  ready || install # another start may have made it meanwhile
  exec 9>&-
fi

if [ "${1:-}" = test ]; then
  shift
  cd -- "$root"
  # The suite runs in parallel, in groups that tests/conftest.py makes and orders; files that are
  # named run in one process.
  whole=yes
  for argument; do [ ! -e "${argument%%::*}" ] || whole=no; done
  [ $whole = no ] || set -- --numprocesses=auto --maxprocesses=8 "$@"
  exec "$venv/bin/python" -m pytest "$@"
fi
exec "$venv/bin/genjax" "$@"
