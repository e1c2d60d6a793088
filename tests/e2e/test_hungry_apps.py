"""An app that tries to eat one edge: limits hold it there, the lines say for what reason, and each round goes on with the other edge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.running_lab import Lab, rounds, values

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("other_training")]

HUNGRY = "tests/fl/flower_apps/hungry"
LIMITS = {"memory_request": "128Mi", "memory_limit": "256Mi", "cpu_limit": "1", "disk_limit": "128Mi"}
# A log is looked at by kubelet every ten seconds, and ended with the pod that writes it
NUMBER = 3


def ends(lab: Lab) -> list[str]:
    """How containers on edge1 ended, and why pods were evicted there, in words of Kubernetes."""
    found = []
    for pod in lab.ours("pods"):
        if pod["spec"].get("nodeName") != "edge1":
            continue
        status: dict[str, Any] = pod["status"]
        found.append(" ".join(status.get(key, "") for key in ("phase", "reason", "message")))
        for container in status.get("containerStatuses", []):
            for state in (container.get("state", {}), container.get("lastState", {})):
                end = state.get("terminated", {})
                found.append(f"{end.get('reason', '')} {end.get('exitCode', '')} {end.get('message', '')}")
    return [words for words in found if words.strip()]


@pytest.mark.parametrize(
    ("appetite", "lost", "ended"),
    [
        ("memory", "the connection was lost", "OOMKilled"),
        ("disk", "File too large; a file may have as many bytes as disk_limit", ""),
        ("leave", "the connection was lost", "Error 7"),
        ("loop", "no answer in time", "the app has not answered within"),
        ("loop_in_c", "no answer in time", "Error 1"),
        ("print_much", "", "Evicted"),
        ("share", "", ""),
        ("write_here", "read-only: let it write below /tmp", ""),
    ],
)
def test_an_appetite(lab: Lab, tmp_path: Path, appetite: str, lost: str, ended: str) -> None:
    hosts = {name: name for name in ("cloud", *lab.edges)}
    hungry = {"edge1": {"edgefl_node_config": {"appetite": appetite}, "edgefl_data": "/srv/hungry"}}
    lab.ssh("edge1", "mkdir -p /srv/hungry && touch /srv/hungry/numbers.csv")
    inventory = lab.write_inventory(tmp_path / "hosts.yml", hosts, hungry)
    given = values(
        edgefl_app=HUNGRY,
        edgefl_app_config={"num-server-rounds": NUMBER, "pause": 1.0},
        edgefl_client_resources=LIMITS,
        edgefl_round_timeout=20,
        edgefl_run="new",
    )
    run = lab.play("site.yml", given, inventory=inventory).ok()
    _begun, *made, _done = rounds()
    assert len(made) == NUMBER
    assert all("edge2" in [client["node"] for client in one["clients"]] for one in made)
    reasons = [item["reason"] for one in made for item in one["lost"] if item["node"] == "edge1"]
    print(appetite, reasons, ends(lab))
    if appetite == "share":
        assert reasons == []
    if appetite == "print_much":
        # By the play, too: the pod that was evicted has another in its place at once
        assert (
            "Evicted (Pod ephemeral local storage usage exceeds" in run.result.output
            and "Raise disk_limit" in run.result.output
        )
    if lost:
        assert any(lost in reason for reason in reasons)
    if ended:
        assert any(ended in words for words in ends(lab))
    assert run.result.seconds < 300
    ready = [node["status"]["conditions"] for node in lab.objects("nodes")]
    assert all(one["status"] == "True" for conditions in ready for one in conditions if one["type"] == "Ready")
