"""The lab's inventory, as Ansible reads it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.helpers import ROOT, inventory

LAB = {
    "nodes": {"cloud": "172.30.0.2"} | {f"edge{number}": f"172.30.0.{number + 2}" for number in range(1, 11)},
    "user": "ops",
    "pod_subnet": "10.244.0.0/16",
    "service_subnet": "10.96.0.0/12",
    "ca_bundle": "",
    "cache": "/cache",
}


def read(home: Path) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-inventory"), "-i", "inventory/lab", "--list"],
        cwd=ROOT,
        env={**os.environ, "EDGEFL_LAB_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = inventory(done.stdout) if done.stdout.startswith("{") else {}
    return done.returncode, found, done.stdout + done.stderr


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder"
    folder.mkdir()
    # As the role writes it
    (folder / "inventory.json").write_text(json.dumps(LAB, sort_keys=True))
    return folder


def test_groups_and_addresses(home: Path) -> None:
    _code, found, _text = read(home)
    assert found["cloud"]["hosts"] == ["cloud0"]
    assert found["edges"]["hosts"] == [f"edge{number}" for number in range(1, 11)]
    assert found["_meta"]["hostvars"]["cloud0"]["edgefl_node_name"] == "cloud"
    assert found["_meta"]["hostvars"]["edge2"]["ansible_host"] == "172.30.0.4"


def test_ten_edges_have_slices_and_subnets_of_their_own(home: Path) -> None:
    found = read(home)[1]["_meta"]["hostvars"]
    edges = [found[f"edge{number}"] for number in range(1, 11)]
    slices = [(values["edgefl_slice_start"], values["edgefl_slice_stop"]) for values in edges]
    assert slices[0] == (0, 10_000) and slices[1] == (10_000, 30_000)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(slices))
    assert slices[-1][1] <= 60_000
    assert [values["containerd_pod_subnet"] for values in edges] == [f"10.244.{number}.0/24" for number in range(1, 11)]


def test_groups_have_what_only_a_lab_needs(home: Path) -> None:
    found = read(home)[1]["_meta"]["hostvars"]
    assert found["edge1"]["edgecore_binary"] == "{{ lab_cache }}/programs/kubeedge/edgecore"
    assert found["edge1"]["lab_kubelet_config"]["failSwapOn"] is False
    assert "control_plane_binaries" in found["cloud0"] and "control_plane_binaries" not in found["edge1"]
    assert len(found["cloud0"]["containerd_image_archives"]) > len(found["edge1"]["containerd_image_archives"])


def test_host_keys_are_checked_also_in_a_folder_with_a_blank(home: Path) -> None:
    arguments = read(home)[1]["_meta"]["hostvars"]["edge1"]["ansible_ssh_common_args"]
    assert f'UserKnownHostsFile="{home}/known_hosts"' in arguments
    assert "StrictHostKeyChecking" not in arguments


def test_no_lab_is_an_empty_inventory(tmp_path: Path) -> None:
    code, found, text = read(tmp_path)
    assert code == 0, text
    assert found["_meta"]["hostvars"] == {}


def test_damaged_file_says_what_to_do(home: Path) -> None:
    (home / "inventory.json").write_text("{")
    assert "run edgefl.kubeedge.lab (make lab in a checkout) again" in " ".join(read(home)[2].split())
