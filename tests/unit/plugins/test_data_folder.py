"""An edge's folder with data: what a pod's user could not use is found, with what to change; nothing in it is changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import data_folder

USER = 10001


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files in two folders, which everybody may read; the folder above them nobody may enter."""
    made = tmp_path / "closed" / "images"
    (made / "cats").mkdir(parents=True)
    (made / "labels.csv").write_text("1,2\n")
    (made / "cats/1.png").write_bytes(b"x" * 1000)
    for path in (made, made / "cats"):
        path.chmod(0o755)
    for path in (made / "labels.csv", made / "cats/1.png"):
        path.chmod(0o644)
    (tmp_path / "closed").chmod(0o700)
    return made


def why(folder: Path) -> str:
    with pytest.raises(EdgeflError) as caught:
        data_folder.check(str(folder), USER, "edgefl_data")
    return caught.value.message


def test_files_and_bytes(folder: Path) -> None:
    (folder / "first.png").symlink_to("cats/1.png")
    os.mkfifo(folder / "pipe")
    found = data_folder.check(str(folder), USER, "edgefl_data")
    assert (found.files, found.bytes) == (2, 1004)


def test_what_is_found_in_this_process(folder: Path) -> None:
    """That of the user is measured by nobody: it may not write coverage's file."""
    (folder / "first.png").symlink_to("cats/1.png")
    for name in "abcd":
        (folder / f"cats/{name}").symlink_to("../../x")
    os.mkfifo(folder / "pipe")
    found = data_folder.look(str(folder))
    assert (found.files, found.bytes, found.unreadable_count) == (2, 1004, 0)
    assert (found.links, found.link_count) == ([f"cats/{name} -> ../../x" for name in "abc"], 4)


def test_a_file_that_the_pods_may_not_read(folder: Path) -> None:
    (folder / "cats/1.png").chmod(0o200)
    text = why(folder)
    owner = f"{os.getuid()}:{os.getgid()}"
    assert f"User {USER}, as which the pods run, can't read cats/1.png (file, {owner} 0200)." in text
    assert f"chmod -R o+rX {folder}" in text and f"chgrp -R {USER} {folder}" in text


@pytest.mark.parametrize("mode", [0o300, 0o600], ids=["not listable", "not to be entered"])
def test_a_folder_that_the_pods_may_not_use(folder: Path, mode: int) -> None:
    (folder / "cats").chmod(mode)
    assert "can't read cats" in why(folder)
    (folder / "cats").chmod(0o755)


def test_many_are_counted(folder: Path) -> None:
    for number in range(10):
        (folder / f"{number}.csv").touch(mode=0o200)
    assert "0.csv (file" in why(folder) and "and 7 more" in why(folder)


@pytest.mark.parametrize("target", ["/etc/hostname", "../../x", "nothing"])
def test_links_that_lead_nowhere_in_a_pod(folder: Path, target: str) -> None:
    (folder / "cats/link").symlink_to(target)
    assert f"lead nowhere in a pod: cats/link -> {target}. Replace each" in why(folder)


def test_no_folder_no_files(folder: Path) -> None:
    assert "which is not there on this host" in why(folder / "nothing")
    assert "which is no folder on this host" in why(folder / "labels.csv")
    (folder / "empty").mkdir(mode=0o755)
    assert "It has no files" in why(folder / "empty")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("srv/images", "give an absolute path"),
        ("", "give an absolute path"),
        ("/", "holds the system's"),
        ("//", "holds the system's"),
        ("/etc", "belongs to the system (/etc)"),
        ("/srv/../etc/ssl", "belongs to the system (/etc)"),
        ("/root/data", "belongs to the system (/root)"),
        ("/var", "holds the system's /var/lib/containerd"),
        ("/var/lib/kubelet/pods", "belongs to the system (/var/lib/kubelet)"),
        ("/home/", "everybody's files"),
    ],
)
def test_folders_that_no_pod_may_read(path: str, words: str) -> None:
    assert words in data_folder.refused(path, "edgefl_data")


@pytest.mark.parametrize("path", ["/srv/images", "/home/mia/images", "/data", "/mnt", "/var/lib/images", "/etcetera"])
def test_folders_for_data(path: str) -> None:
    assert data_folder.refused(path, "edgefl_data") == ""


def test_a_link_to_the_system_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").symlink_to("/etc")
    assert "belongs to the system (/etc)" in why(tmp_path / "images")
