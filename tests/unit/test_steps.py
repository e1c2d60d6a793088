"""The progress callback, on real playbooks: what is shown, what passes in silence, and how much is left."""

from __future__ import annotations

import doctest
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ansible_collections.edgefl.kubeedge.plugins.callback import steps
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _durations
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._durations import Durations
from support.helpers import ROOT, environment

PLAYBOOK = """
- name: First
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Right already
      ansible.builtin.assert: {that: true, quiet: true}
    - name: Changes something
      ansible.builtin.assert: {that: true, quiet: true}
      changed_when: true
    - name: Takes long
      ansible.builtin.shell: "echo half way >{{ playbook_dir }}/progress; sleep 3.5"
      changed_when: false
      vars: {progress_file: "{{ playbook_dir }}/progress"}
    - name: Says something
      ansible.builtin.debug: {msg: [one, two, "garbage is looked for after {{ 0 | garbage_after }} objects"]}
- name: Second
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Fails
      ansible.builtin.assert: {that: false, fail_msg: change this, quiet: true}
"""
# A filter of the playbook: what it answers is of the process that Ansible made for the task
FILTER = """
import gc

class FilterModule:
    def filters(self):
        return {"garbage_after": lambda generation: gc.get_threshold()[generation]}
"""

# Two plays of which the first takes a while, and which comes in batches
AGAIN = """
- name: Slow
  hosts: all
  serial: 1
  gather_facts: false
  tasks:
    - name: Wait
      ansible.builtin.command: "sleep {{ pause | default(0.1) }}"
      changed_when: false
- name: Last
  hosts: nowhere
  gather_facts: false
"""


def play(playbook: Path, cache: Path, *options: str, code: int = 0) -> str:
    """The output of a playbook, played with its own cache folder."""
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            *("-i", "localhost,machine,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"),
            *options,
            playbook,
        ],
        cwd=ROOT,
        env=environment({"EDGEFL_HEARTBEAT": "2", "XDG_CACHE_HOME": str(cache)}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("steps")
    (folder / "play.yml").write_text(PLAYBOOK)
    (folder / "filter_plugins").mkdir()
    (folder / "filter_plugins/garbage.py").write_text(FILTER)
    return play(folder / "play.yml", folder / "cache", code=2)


@pytest.fixture
def again(tmp_path: Path) -> Path:
    path = tmp_path / "again.yml"
    path.write_text(AGAIN)
    return path


def test_what_is_right_passes_in_silence(output: str) -> None:
    assert "Right already" not in output


def test_changes_are_shown_with_their_host(output: str) -> None:
    assert re.search(r"\[ +0:0\d\]   Changes something +changed +([0-9.]+ s  )?localhost", output)


def test_long_work_shows_that_it_lives_and_how_far_it_is(output: str) -> None:
    assert re.search(r"\.\.\. Takes long: 0:0\d half way \(1\)", output)
    assert re.search(r"Takes long +ok +\d+\.\d s", output)


def test_garbage_is_looked_for_seldom_in_the_processes_of_tasks_too(output: str) -> None:
    assert f"garbage is looked for after {steps.OBJECTS} objects" in output


def kept(path: Path) -> list[list[list[float]]]:
    """The runs of each call that a file of durations has."""
    return list(json.loads(path.read_text()).values())


def test_first_run_tells_nothing_of_time_left(output: str) -> None:
    assert "1/2 First\n" in output
    assert "2/2 Second\n" in output


def test_failed_run_is_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(PLAYBOOK.replace(" | garbage_after", ""))
    play(tmp_path / "play.yml", tmp_path / "cache", "--skip-tags", "x", code=2)
    assert not (tmp_path / "cache/edgefl/durations.json").exists()


def test_second_run_tells_how_much_is_left(again: Path) -> None:
    cache = again.parent / "cache"
    assert "left" not in play(again, cache, "-e", "pause=2")
    ((slow, last),) = kept(cache / "edgefl/durations.json")[0]
    # Both batches are one play
    assert 4 <= slow <= 60
    assert last < 2
    assert re.search(r"1/2 Slow  \(a(bout \d+ s| few seconds) left\)", play(again, cache, "-e", "pause=2"))
    # Another call is no measure
    assert "left" not in play(again, cache, "-e", "pause=0", "--check")


@pytest.mark.parametrize("content", ["{", "[1]", '{"x": 3}', '{"x": [["a"]]}', "[" * 100_000, b"\xff"])
def test_damaged_file_is_replaced(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "durations.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    memory = Durations(path, "call", plays=2)
    assert memory.runs == []
    memory.remember([1.0, 2.0])
    assert Durations(path, "call", plays=2).runs == [[1.0, 2.0]]
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = Durations(tmp_path / "file" / "durations.json", "call", plays=1)
    memory.remember([1.0])
    assert memory.runs == []


def test_memory_is_bounded_and_newest_stays(tmp_path: Path) -> None:
    path = tmp_path / "durations.json"
    for number in range(60):
        Durations(path, ["call", number], plays=1).remember([float(number)])
    for number in range(10):
        Durations(path, ["call", 59], plays=1).remember([float(number)])
    calls = kept(path)
    assert len(calls) == 50
    assert calls[-1] == [[5.0], [6.0], [7.0], [8.0], [9.0]]
    assert calls[0] == [[10.0]]


def test_other_plays_are_no_measure(tmp_path: Path) -> None:
    path = tmp_path / "durations.json"
    Durations(path, "call", plays=2).remember([1.0, 2.0])
    assert Durations(path, "call", plays=3).runs == []
    Durations(path, "call", plays=2).remember([1.0])  # Broken off
    assert Durations(path, "call", plays=2).runs == [[1.0, 2.0]]


def test_messages_and_failures_are_shown(output: str) -> None:
    assert "         one\n         two\n" in output
    assert "change this" in output
    assert "failed=1" in output


@pytest.mark.parametrize("module", [steps, _durations])
def test_examples(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0
