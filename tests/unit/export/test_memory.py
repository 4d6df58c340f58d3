"""Files that are mapped leave memory and are there again when they are read; a fit keeps what it takes and frees."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from fuserank_ensemble.catalog.arrays import map_array
from fuserank_export.memory import empty_array, heap_kept, release_mapped

KIB = 4_000
SAYS_WHAT_IS_MAPPED = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux says what is mapped")


def resident(path):
    """KiB of a mapped file in this process's memory."""
    lines = iter(Path("/proc/self/smaps").read_text("utf-8", "replace").splitlines())
    return sum(
        int(next(line for line in lines if line.startswith("Rss:")).split()[1])
        for line in lines
        if line.endswith(str(path))
    )


@SAYS_WHAT_IS_MAPPED
def test_mapped_files_of_a_folder_leave_memory_and_come_back_when_they_are_read(tmp_path):
    arrays = {}
    for folder in ("index", "other"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "numbers.npy", np.arange(KIB * 128))
        arrays[folder] = map_array(tmp_path / folder / "numbers.npy")
    expected = np.arange(KIB * 128).sum()
    for array in arrays.values():
        assert array.sum() == expected
    assert resident(tmp_path / "index" / "numbers.npy") >= KIB
    release_mapped([tmp_path / "index"])
    assert resident(tmp_path / "index" / "numbers.npy") == 0
    assert resident(tmp_path / "other" / "numbers.npy") >= KIB
    assert arrays["index"].sum() == expected


@pytest.mark.parametrize("shape", [(3, 4), (0, 4)])
def test_an_array_on_disk_is_filled_as_one_in_memory_and_leaves_no_file(tmp_path, shape):
    for folder in (None, tmp_path):
        array = empty_array(shape, np.float32, folder)
        array[:] = 1.5
        assert (array.shape, array.dtype, array.sum()) == (shape, np.float32, 1.5 * array.size)
    assert not list(tmp_path.iterdir())


@SAYS_WHAT_IS_MAPPED
def test_an_array_on_disk_leaves_memory_and_keeps_what_was_written(tmp_path):
    array = empty_array((KIB, 128), np.int64, tmp_path)
    array[:] = np.arange(128)
    file = next(
        line.split(maxsplit=5)[5]
        for line in Path("/proc/self/maps").read_text("utf-8", "replace").splitlines()
        if str(tmp_path) in line
    )
    assert resident(file) >= KIB
    release_mapped([tmp_path])
    assert resident(file) == 0
    assert (array == np.arange(128)).all()


@SAYS_WHAT_IS_MAPPED
def test_what_a_step_frees_is_there_for_the_next_one():
    """A step that the system gives its memory anew faults once a page of it."""
    steps, arrays, size = 4, 12, 2_000_000

    def step():
        kept = [np.ones(size) for _ in range(arrays)]
        del kept

    with heap_kept():
        step()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(steps):
            step()
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < steps * arrays * size * 8 / resource.getpagesize() / 10
