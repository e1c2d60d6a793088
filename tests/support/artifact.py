"""The collection as Galaxy would have it: built from this checkout, and installed without it."""

from __future__ import annotations

import hashlib
import os
import tarfile
from pathlib import Path

from support.helpers import LINK, ROOT, load_yaml, run

NAME = "edgefl.kubeedge"


def build(folder: Path) -> Path:
    """Path of the artifact, built into a folder."""
    run("ansible-galaxy", "collection", "build", "--output-path", folder, ROOT, timeout=300).ok()
    return folder / f"edgefl-kubeedge-{load_yaml(Path('galaxy.yml'))['version']}.tar.gz"


def install(artifact: Path, collections: Path, umask: int = 0o077) -> Path:
    """
    Installs an artifact as a careful administrator does, and takes the right to write away from everybody.

    :param collections: an empty folder, for ANSIBLE_COLLECTIONS_PATH
    :return: the installed collection
    """
    # Its dependencies come with the Python package `ansible`; Galaxy is not asked
    words = [
        "ansible-galaxy",
        "collection",
        "install",
        "--offline",
        "--no-deps",
        "--collections-path",
        str(collections),
    ]
    before = os.umask(umask)
    try:
        run(*words, artifact, cwd=collections, env={"ANSIBLE_COLLECTIONS_PATH": str(collections)}).ok()
    finally:
        os.umask(before)
    place = collections / LINK.relative_to(LINK.parents[2])
    for path in [place, *place.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o555)
    return place


def members(artifact: Path) -> dict[str, tarfile.TarInfo]:
    """What the artifact holds but for Galaxy's own two lists; folders are left out."""
    with tarfile.open(artifact) as tar:
        found = {entry.name: entry for entry in tar.getmembers() if not entry.isdir()}
    return {name: entry for name, entry in found.items() if name not in ("MANIFEST.json", "FILES.json")}


def content(folder: Path) -> dict[str, str]:
    """Every file of an installed collection, with its digest or, for a link, where it leads to."""
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }
