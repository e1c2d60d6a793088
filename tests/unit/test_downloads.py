"""What roles fetch from elsewhere: it is the file that is meant, or nothing of it is used. From a real server on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.helpers import Result, run

DEFINITIONS = (
    b"kind: CustomResourceDefinition\nmetadata: {name: a}\n---\nkind: CustomResourceDefinition\nmetadata: {name: b}\n"
)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_unused: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "crds.yaml").write_bytes(DEFINITIONS)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/crds.yaml"
        server.shutdown()


def play(folder: Path, role: str, tasks: str, values: dict[str, Any]) -> Result:
    """A role's own tasks, on this host."""
    given = {"name": f"edgefl.kubeedge.{role}", "tasks_from": tasks}
    task = {"name": "Call", "ansible.builtin.include_role": given, "vars": values}
    written = folder / "play.yml"
    written.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    python = {"ansible_python_interpreter": sys.executable}
    return run(
        "ansible-playbook",
        "--inventory=localhost,",
        "--connection=local",
        f"--extra-vars={json.dumps(python)}",
        written,
    )


def read(folder: Path, address: str, digest: str) -> Result:
    """Reads the VPA's definitions."""
    values = {"autoscaler_vpa_crds": address, "autoscaler_vpa_crds_sha256": digest}
    return play(folder, "autoscaler", "definitions", values)


def test_resource_definitions_that_were_changed_are_refused(tmp_path: Path, address: str) -> None:
    digest = hashlib.sha256(DEFINITIONS).hexdigest()
    read(tmp_path, address, digest).ok()
    (tmp_path / "crds.yaml").write_bytes(DEFINITIONS.replace(b"name: b", b"name: c"))
    changed = read(tmp_path, address, digest)
    assert changed.code != 0 and "nothing of that is applied" in " ".join(changed.output.split())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_an_archive_is_root_s_alone_until_it_is_loaded(tmp_path: Path) -> None:
    """Somebody made folder and file first, to keep owning what root loads; or to have it written elsewhere."""
    folder, victim, archive = tmp_path / "archives", tmp_path / "victim", tmp_path / "images.tar"
    archive.write_text("images")
    victim.write_text("somebody's")
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    (folder / "images.tar").symlink_to(victim)
    os.chown(folder, 65534, 65534)
    loader = [
        "sh",
        "-c",
        f"stat --format '%a %u' {folder} {folder}/images.tar >{tmp_path}/seen; cat {folder}/images.tar >{tmp_path}/loaded",
    ]
    values = {
        "image_archive_path": str(archive),
        "image_archive_images": ["x:1"],
        "__image_archive_folder": str(folder),
        "__image_archive_runtime": "docker",
        "__image_archive_commands": {"docker": {"import": loader}},
    }
    play(tmp_path, "image_archive", "import", values).ok()
    assert (tmp_path / "seen").read_text().split() == ["700", "0", "600", "0"]
    assert (tmp_path / "loaded").read_text() == "images"
    assert victim.read_text() == "somebody's" and not folder.exists()
