"""The progress callback, on a real playbook: what is shown, what passes in silence, and how much is left."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.edgefl.kubeedge.plugins.callback import steps
from support.helpers import ROOT

PLAYBOOK = """
- name: First
  hosts: localhost
  gather_facts: false
  vars: {quick: "{{ '/' is not exists }}", steps_seconds: "{{ 5 if quick | bool else 70 }}"}
  tasks:
    - name: Right already
      ansible.builtin.command: "true"
      changed_when: false
    - name: Changes something
      ansible.builtin.command: "true"
      changed_when: true
    - name: Takes long
      ansible.builtin.shell: "echo half way >{{ playbook_dir }}/progress; sleep 3.5"
      changed_when: false
      vars: {progress_file: "{{ playbook_dir }}/progress"}
    - name: Says something
      ansible.builtin.debug: {msg: [one, two]}
- name: Second
  hosts: localhost
  gather_facts: false
  vars: {steps_seconds: 60}
  tasks:
    - name: Fails
      ansible.builtin.assert: {that: false, fail_msg: change this, quiet: true}
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("steps")
    (folder / "play.yml").write_text(PLAYBOOK)
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            *("-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"),
            folder / "play.yml",
        ],
        cwd=ROOT,
        env={**os.environ, "EDGEFL_HEARTBEAT": "2", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_what_is_right_passes_in_silence(output: str) -> None:
    assert "Right already" not in output


def test_changes_are_shown_with_their_host(output: str) -> None:
    assert re.search(r"\[ +0:0\d\]   Changes something +changed +localhost", output)


def test_long_work_shows_that_it_lives_and_how_far_it_is(output: str) -> None:
    assert re.search(r"\.\.\. Takes long: 0:0\d half way \(1\)", output)
    assert re.search(r"Takes long +ok +[3-9]\.\d s", output)


def test_plays_tell_how_much_is_left(output: str) -> None:
    assert re.search(r"1/2 First  \(about 2 min left\)", output)
    # The first took 4 of its 70 s
    assert re.search(r"2/2 Second  \(about 20 s left\)", output)


def test_messages_and_failures_are_shown(output: str) -> None:
    assert "         one\n         two\n" in output
    assert "change this" in output
    assert "failed=1" in output


def test_examples() -> None:
    assert doctest.testmod(steps).failed == 0
