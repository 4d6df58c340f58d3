"""Bundles with built engines, in a folder that replicas share: the first that needs one builds it, others take it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fuserank_ensemble.bundle import MANIFEST, BundleError
from fuserank_ensemble.serving.engines import EngineKey
from fuserank_ensemble.state.keys import key_file_beside
from fuserank_export.repository.place import wait_for_lock
from fuserank_export.sources.report import InputError

BUNDLES = "bundles"  # within the folder: a bundle for each key
CACHE = "cache"  # within the folder: engines by what they were built from, and timings
PARTIAL = (f"{BUNDLES}/.*", f"{CACHE}/.*", f"{CACHE}/*/.*")
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
LOCK = ".lock"  # within the folder: held by the one that builds


class SharedEngines:
    """Finds or builds bundles with engines, one at a time for all who share the folder.

    A bundle appears at its place by one rename, so a builder that is killed leaves nothing that another could take for
    one. The lock saves work, and makes it safe to remove what is old. A file system without locks is shared all the
    same: builders then do the same work twice, the first to end has its bundle taken, and nothing is removed.
    """

    def __init__(self, root: Path, keep: int, note: Callable[[str], None]) -> None:
        """Takes a folder.

        Args:
            root: The folder.
            keep: How many bundles stay, those last used; at least 1.
            note: Is told what is waited for, built again, or removed.
        """
        self._root, self._keep, self._note = root, keep, note

    @property
    def cache(self) -> Path:
        """Where engines are kept by what they were built from."""
        return self._root / CACHE

    def find_or_build(self, key: str, build: Callable[[Path], object], check: Callable[[Path], object]) -> Path:
        """Returns the place of the bundle of a key, which is whole.

        Args:
            key: Its name, that of no other bundle.
            build: Writes it to a place that is free, as `fuserank_export.repository.place.partial_bundle` does.
            check: Raises a BundleError for one whose files are not those that were written.

        Raises:
            InputError: Where the folder cannot be written.
        """
        place = self._root / BUNDLES / key
        with self._locked() as locked:
            if locked:
                self._remove_left()
            if place.is_dir() and not self._is_whole(place, check):
                self._remove(place)
            if not place.is_dir():
                self._build(place, build)
            os.utime(place)  # the time of the last use
            if locked:
                self._remove_old(place)
        return place

    def _is_whole(self, place: Path, check: Callable[[Path], object]) -> bool:
        try:
            check(place)
        except BundleError as error:
            self._note(f"built again, since {error}")
            return False
        return True

    def _build(self, place: Path, build: Callable[[Path], object]) -> None:
        try:
            build(place)
        except InputError:
            if not place.is_dir():
                raise
            self._note(f"{place}: another builder was faster; its engines are taken")
        except OSError as error:
            if error.errno not in NOT_WRITABLE:
                raise
            raise self._not_writable(error) from None

    def _not_writable(self, error: OSError) -> InputError:
        return InputError(
            f"{self._root}: cannot be written by user {os.getuid()} of group {os.getgid()} ({error}); let the volume "
            "be writable for that user or group (a pod's fsGroup), or larger"
        )

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Waits for other builders; yields whether the file system has locks at all."""
        path = self._root / LOCK
        try:
            (self._root / BUNDLES).mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise self._not_writable(error) from None
        try:
            yield wait_for_lock(descriptor, lambda: self._note(f"{self._root}: another builder is at it; waiting"))
        finally:
            os.close(descriptor)

    def _remove_left(self) -> None:
        """Removes what killed builders left: whoever has the lock is alone, and what is partial has a hidden name."""
        for left in (path for pattern in PARTIAL for path in self._root.glob(pattern)):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)

    def _remove_old(self, used: Path) -> None:
        """Removes bundles beyond those that stay, and engines that none names."""
        bundles = [path for path in used.parent.iterdir() if (path / MANIFEST).is_file()]
        bundles.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for old in [path for path in bundles if path != used][self._keep - 1 :]:
            self._note(f"{old}: removed, since {self._keep} were used later")
            self._remove(old)
            shutil.rmtree(key_file_beside(old).parent, ignore_errors=True)
        named = {name for bundle in bundles if bundle.is_dir() for name in _engine_folders(bundle)}
        for folder in self.cache.glob("*/"):
            if folder.name not in named:
                shutil.rmtree(folder, ignore_errors=True)

    def _remove(self, place: Path) -> None:
        """Removes a bundle, in one step for whoever looks for it."""
        aside = place.with_name(f".removed-{uuid.uuid4().hex}")
        place.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _engine_folders(bundle: Path) -> set[str]:
    """Returns the folders, within the cache, of a bundle's engines."""
    manifest = json.loads((bundle / MANIFEST).read_text("utf-8"))
    keys = manifest.get("engines", {}).get("tensorrt", {}).get("keys", {})
    return {EngineKey(**key).folder for key in keys.values()}
