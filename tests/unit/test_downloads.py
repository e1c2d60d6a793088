"""What roles fetch from elsewhere: it is the file that is meant, or nothing of it is used. From a real server on loopback."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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


def read(folder: Path, address: str, digest: str) -> Result:
    """The role's own tasks that read the VPA's definitions."""
    role = {"name": "edgefl.kubeedge.autoscaler", "tasks_from": "definitions"}
    values = {"autoscaler_vpa_crds": address, "autoscaler_vpa_crds_sha256": digest}
    task = {"name": "Read", "ansible.builtin.include_role": role, "vars": values}
    play = folder / "play.yml"
    play.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    return run("ansible-playbook", "--inventory=localhost,", "--connection=local", play)


def test_resource_definitions_that_were_changed_are_refused(tmp_path: Path, address: str) -> None:
    digest = hashlib.sha256(DEFINITIONS).hexdigest()
    read(tmp_path, address, digest).ok()
    (tmp_path / "crds.yaml").write_bytes(DEFINITIONS.replace(b"name: b", b"name: c"))
    changed = read(tmp_path, address, digest)
    assert changed.code != 0 and "nothing of that is applied" in " ".join(changed.output.split())
