"""Small disks, which only root may mount, and a way to fill one."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def may_mount() -> bool:
    return os.geteuid() == 0 and shutil.which("mount") is not None


mounts = pytest.mark.skipif(
    not may_mount(), reason="NO DISK IS FULL HERE: only root may mount one"
)


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """Mount a disk of this size on a folder, with the content of the folder."""
    held = folder.with_name(f"{folder.name}-held")
    shutil.copytree(folder, held)
    options = f"size={kilobytes}k,mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
    try:
        shutil.copytree(held, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)
        shutil.rmtree(held)


@contextmanager
def filled(folder: Path, *, free: int) -> Iterator[None]:
    """Fill the disk of a folder except for `free` kilobytes, for the block."""
    disk = os.statvfs(folder)
    filler = folder / "filler"
    with filler.open("wb") as file:
        size = disk.f_bavail * disk.f_frsize - (free << 10)
        os.posix_fallocate(file.fileno(), 0, size)
    try:
        yield
    finally:
        filler.unlink()
