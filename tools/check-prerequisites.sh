#!/usr/bin/env bash
# Looks for what no pip can install, before anything is downloaded, and says how to get it.
set -u
python=${1:-python3.11}
fail() { printf 'error: %s\n' "$1" >&2; exit 1; }

command -v "$python" >/dev/null ||
  fail "$python: not found; install Python 3.11 or 3.12 (Debian, Ubuntu: apt-get install python3.11 python3.11-venv), or name another: make PYTHON=python3.12 …"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case $version in 3.11 | 3.12) ;; *) fail "$python is Python $version; allowed: 3.11 or 3.12, such as make PYTHON=python3.11 …" ;; esac
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
  fail "$python cannot make virtual environments; install python$version-venv (Debian, Ubuntu: apt-get install python$version-venv)"

glibc=$("$python" -c 'import platform; print(platform.libc_ver()[1] or 0)')
"$python" - "$glibc" <<'PY' || fail "glibc is $glibc; the embedded Triton needs 2.35 or newer (Ubuntu 22.04, Debian 12 or later). Elsewhere use the production image: k8s/README.md"
import sys
sys.exit(tuple(int(part) for part in sys.argv[1].split(".")[:2]) < (2, 35))
PY

# Triton's Python backend links the interpreter as a shared library.
"$python" - <<'PY' || fail "libpython$version.so.1.0: not found; install it (Debian, Ubuntu: apt-get install libpython$version) or use a Python built with --enable-shared"
import ctypes, pathlib, sys, sysconfig
name = "libpython%d.%d.so.1.0" % sys.version_info[:2]
if sysconfig.get_config_var("Py_ENABLE_SHARED") and (pathlib.Path(sysconfig.get_config_var("LIBDIR")) / name).is_file():
    sys.exit(0)
try:
    ctypes.CDLL(name)
except OSError:
    sys.exit(1)
PY
