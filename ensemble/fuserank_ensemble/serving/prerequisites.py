"""What the embedded server needs of a machine and no pip can install, looked for with the standard library alone.

`make` runs this file before anything is installed; the server calls `check_machine` before it starts.
"""

from __future__ import annotations

import ctypes
import platform
import sys
import sysconfig
from pathlib import Path

PYTHONS = ((3, 11), (3, 12))
GLIBC = (2, 35)


class PrerequisiteError(RuntimeError):
    """Something is missing on this machine; the message names it and how to get it."""


def check_machine() -> None:
    """Looks for a Python, a C library and a libpython that the embedded Triton runs with.

    Raises:
        PrerequisiteError: Where one is missing.
    """
    if sys.version_info[:2] not in PYTHONS:
        raise PrerequisiteError(
            f"Python: found {platform.python_version()}; allowed: 3.11 or 3.12, such as make PYTHON=python3.11"
        )
    libc, version = platform.libc_ver()
    if libc != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < GLIBC:
        raise PrerequisiteError(
            f"C library: found {libc or 'none'} {version}; allowed: glibc 2.35 or newer "
            "(Ubuntu 22.04, Debian 12 or later); elsewhere run the production image, see k8s/README.md"
        )
    if libpython_folder() is None:
        name = f"libpython{_version()}"
        raise PrerequisiteError(
            f"{name}.so.1.0: not found, and this Python was built without it; Triton's Python backend links it. "
            f"Install it (Debian, Ubuntu: apt-get install {name}) or use a Python built with --enable-shared"
        )


def check_environments() -> None:
    """Looks for what `python -m venv` needs.

    Raises:
        PrerequisiteError: Where it is missing.
    """
    try:
        import ensurepip  # noqa: F401, PLC0415  Debian packages it apart
        import venv  # noqa: F401, PLC0415
    except ImportError:
        name = f"python{_version()}-venv"
        raise PrerequisiteError(
            f"{name}: not installed, and this Python cannot make virtual environments; "
            f"install it (Debian, Ubuntu: apt-get install {name})"
        ) from None


def libpython_folder() -> Path | None:
    """Where the interpreter's shared library lies; an empty path where the system's loader finds one by itself."""
    name = f"libpython{_version()}.so.1.0"
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        folder = Path(sysconfig.get_config_var("LIBDIR") or "")
        if (folder / name).is_file():
            return folder
    try:
        ctypes.CDLL(name)
    except OSError:
        return None
    return Path()


def _version() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def main() -> None:
    """Ends with an error that names what is missing, if anything is."""
    try:
        check_machine()
        check_environments()
    except PrerequisiteError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
