#!/bin/sh
# What building and testing need beyond Swift, Python 3 and a C compiler.
#   setup.sh system TOOL ...   zlib's header, pkg-config and the tools: installed if permitted, else named
#   setup.sh python PY VENV    a virtual environment with the test tools
set -eu

has_zlib() { printf '#include <zlib.h>\n' | ${CC:-cc} -E -x c - >/dev/null 2>&1; }

case "$1" in
system)
  missing=
  has_zlib || missing="$missing zlib1g-dev"
  shift
  for tool in pkg-config "$@"; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
  done
  [ -n "$missing" ] || exit 0
  install="apt-get install -y --no-install-recommends$missing"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get update -q && $install; } && exit 0
  elif sudo -n true 2>/dev/null && command -v apt-get >/dev/null; then
    { sudo apt-get update -q && sudo $install; } && exit 0
  fi
  echo "missing:$missing. On Debian or Ubuntu, install with: sudo $install" >&2
  exit 1
  ;;
python)
  here=$(dirname "$0")
  if ! "$2" -m venv "$3"; then
    echo "no virtual environment; on Debian or Ubuntu: sudo apt-get install -y python3-venv" >&2
    exit 1
  fi
  "$3/bin/python" -m pip install -q --disable-pip-version-check -r "$here/requirements.txt"
  touch "$3/ready"
  ;;
*)
  echo "usage: setup.sh system | python PYTHON VENV" >&2
  exit 64
  ;;
esac
