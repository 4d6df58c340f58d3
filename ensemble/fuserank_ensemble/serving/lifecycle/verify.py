"""Checks a bundle before Triton starts, so that a wrong one is named in one line."""

from __future__ import annotations

import sys
from pathlib import Path

from fuserank_ensemble.bundle import Bundle, BundleError


def main(arguments: list[str]) -> str | None:
    """Compares every file of the bundle with its hash.

    Args:
        arguments: The bundle's folder.

    Returns:
        Why the bundle must not be served, for `sys.exit`; nothing where it may.
    """
    if len(arguments) != 1:
        return f"usage: python3 -m fuserank_ensemble.serving.lifecycle.verify BUNDLE; found {len(arguments)} arguments"
    try:
        bundle = Bundle.open(Path(arguments[0]))
    except BundleError as error:
        return f"error: {error}"
    sys.stdout.write(f"bundle {bundle.id}: {len(bundle.manifest['files'])} files as exported\n")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
