"""Keeps which bundle was promoted, so that a server that starts again serves it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from fuserank_ensemble.bundle import BundleError
from fuserank_ensemble.serving.switch.folder import BundlePlace, replace_file

PROMOTED = "promoted.json"  # within `<bundle>.state`


class Promoted(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was promoted last.

    Attributes:
        served: The bundle.
        previous: The one before it; None where a rollback has nothing to go back to.
    """

    served: BundlePlace
    previous: BundlePlace | None = None


def load_promoted(path: Path) -> Promoted | None:
    """Returns what was promoted; None where nothing was.

    Raises:
        BundleError: Where the file cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Promoted)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise BundleError(f"{path}: {error}; remove it to serve the bundle that the command names") from None


def read_promoted(path: Path, bundle: Path) -> Path:
    """Returns the bundle's folder that a server serves which is started on `bundle`.

    Raises:
        BundleError: Where what was promoted is gone.
    """
    promoted = load_promoted(path)
    if promoted is None:
        return bundle
    served = Path(promoted.served.folder)
    if served == bundle.resolve():
        return bundle
    if not served.exists():
        raise BundleError(f"{served}: was promoted and is gone; put it back, or remove {path} to serve {bundle}")
    return served


def remember_promoted(path: Path, promoted: Promoted) -> None:
    """Keeps what was promoted."""
    replace_file(path, promoted)
