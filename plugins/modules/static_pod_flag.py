#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: static_pod_flag
short_description: Set or remove one flag of a static pod
version_added: "1.0.0"
description:
  - Sets or removes one command line flag in the manifest of a static pod, such as C(kube-apiserver) of a kubeadm cluster.
  - Only the lines of this flag change where the arguments stand one a line; comments and order stay.
    A manifest that is written in another way is written anew, with a warning.
  - The file is replaced atomically and keeps its mode and owner. A copy of the former one is kept outside the folder that the kubelet reads.
  - Waits until the kubelet has started the pod anew, told by a new config hash of its mirror pod, since a former API server answers for a while,
    and until the pod works. When it does not come back in time, the former manifest is put back and the module fails.
  - Nothing changes, and nothing restarts, when the flag is right.
author:
  - edgefl developers (@edgefl)
requirements:
  - The C(kubectl) command on the host.
attributes:
  check_mode:
    support: full
    description: Says what would change; writes nothing and does not wait.
  diff_mode:
    support: full
    description: Shows the manifest before and after.
  idempotent:
    support: full
    description: A flag that is right is left alone, however it is written.
options:
  path:
    description: The manifest.
    type: path
    default: /etc/kubernetes/manifests/kube-apiserver.yaml
  flag:
    description: Name of the flag, with or without its dashes. Flags that may be given several times become one.
    type: str
    required: true
  value:
    description: Its value; required when O(state=present).
    type: str
  state:
    description: Whether the flag shall be there.
    type: str
    choices: [present, absent]
    default: present
  container:
    description: Name of the container; the first one of the pod when not given.
    type: str
  node:
    description:
      - Name of this host's node in the cluster.
      - Needed only where several nodes run this static pod and the node is not called like the host.
    type: str
  backup_dir:
    description: Folder for the former manifest; made with mode V(0700). Must not be in the folder of the manifest, as the kubelet would run the copy.
    type: path
    default: /var/lib/edgefl/backup
  kubeconfig:
    description: Kubeconfig on the host, with the right to read pods.
    type: path
    default: /etc/kubernetes/admin.conf
  wait:
    description: Whether to wait until the pod runs with the flag as it shall be.
    type: bool
    default: true
  wait_timeout:
    description: Seconds until the former manifest is put back; and again, until the former pod must be back.
    type: int
    default: 300
  wait_sleep:
    description: Seconds between two looks.
    type: int
    default: 2
"""

EXAMPLES = r"""
- name: Let the API server reach metrics-server at its endpoint
  edgefl.kubeedge.static_pod_flag:
    flag: enable-aggregator-routing
    value: "true"

- name: Remove the flag again
  edgefl.kubeedge.static_pod_flag:
    flag: enable-aggregator-routing
    state: absent

- name: Log more of the scheduler
  edgefl.kubeedge.static_pod_flag:
    path: /etc/kubernetes/manifests/kube-scheduler.yaml
    flag: v
    value: "4"
"""

RETURN = r"""
arguments:
  description: Command line of the container after the change.
  returned: success
  type: list
  elements: str
backup_file:
  description: Copy of the former manifest; empty when nothing was written.
  returned: success
  type: str
formatting_kept:
  description: Whether nothing but lines of this flag changed.
  returned: success
  type: bool
restored:
  description: Whether the former manifest was put back.
  returned: failure after waiting
  type: bool
reason:
  description: What was missing in the end.
  returned: failure after waiting
  type: str
elapsed:
  description: Seconds that were waited.
  returned: failure after waiting
  type: float
"""

import hashlib
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubectl import for_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._static_pod import Flag, Mirror, Parser, command_line, edited, select
from ansible_collections.edgefl.kubeedge.plugins.module_utils._wait import done, wait

# An API server that is just busy answers within this many seconds; one that is away is no base for a change
ANSWER_TIMEOUT = 60


def read(path: Path) -> str:
    """The manifest's text, line endings as they are."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError as error:
        raise EdgeflError(f"{path} does not exist: run this on a host of the control plane, or set `path`.") from error
    except PermissionError as error:
        raise EdgeflError(f"{path} cannot be read: run this with become.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise EdgeflError(f"{path} cannot be read as text ({error}): give the manifest of a static pod.") from error


def keep(path: Path, folder: Path) -> Path:
    """Copies the manifest to the backup folder, under a name that tells its content, and returns the copy."""
    if path.parent.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise EdgeflError(f"backup_dir {folder} is in the folder of the manifest, where the kubelet runs every file: choose another one.")
    copy = folder / f"{path.name}.{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = folder / f".{copy.name}.part"
    shutil.copy2(path, partial)
    shutil.chown(partial, path.stat().st_uid, path.stat().st_gid)
    partial.replace(copy)
    return copy


def write(module: AnsibleModule, path: Path, text: str) -> None:
    """Replaces the manifest atomically; mode and owner stay. Temporary files in its folder begin with a dot, which the kubelet skips."""
    descriptor, temporary = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    module.atomic_move(temporary, str(path))


def restore(module: AnsibleModule, path: Path, text: str, mirror: Mirror, old: str | None, flag: Flag, error: EdgeflError) -> EdgeflError:
    """Puts the former manifest back, waits for the former pod, and returns the error to fail with."""
    options = module.params
    write(module, path, text)
    begin = f"{mirror.name} did not come back after {flag} was changed ({error.result.get('reason', error.message)}). The former manifest was put back"
    result = {**error.result, "restored": True}
    try:
        wait(lambda: mirror.runs(mirror.accepts_old(old)), options["wait_timeout"], options["wait_sleep"], f"the former {mirror.name}")
    except EdgeflError as second:
        return EdgeflError(f"{begin}, but it is not back yet: {second.message}. Look at `journalctl -u kubelet` and `crictl ps -a` on this host.", **result)
    return EdgeflError(f"{begin}, and {mirror.name} works as before: correct the flag or its value.", **result)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/etc/kubernetes/manifests/kube-apiserver.yaml"},
            "flag": {"type": "str", "required": True},
            "value": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "container": {"type": "str"},
            "node": {"type": "str"},
            "backup_dir": {"type": "path", "default": "/var/lib/edgefl/backup"},
            "kubeconfig": {"type": "path", "default": "/etc/kubernetes/admin.conf"},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 300},
            "wait_sleep": {"type": "int", "default": 2},
        },
        required_if=[("state", "present", ("value",))],
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except EdgeflError as error:
        module.fail_json(msg=error.message, **error.result)
    except OSError as error:
        module.fail_json(msg=f"{error}: run this with become, on a host of the control plane.")
    module.exit_json(**result)


def run(module: AnsibleModule) -> dict[str, Any]:
    """Does what the options ask for and returns the module's results."""
    options = module.params
    path = Path(options["path"])
    flag = Flag.of(options["flag"], options["value"] if options["state"] == "present" else None)
    kubectl = for_module(module, options["kubeconfig"])
    parser = Parser(kubectl, str(path))
    text = read(path)
    pod = parser.parse(text)
    index = select(pod, str(path), options["container"])
    new, kept = edited(text, pod, index, flag, parser.parse, parser.rewrite)
    mirror = Mirror(kubectl, pod, index, socket.gethostname(), options["node"])
    result: dict[str, Any] = {
        "changed": new != text,
        "arguments": command_line(parser.parse(new)["spec"]["containers"][index]),
        "backup_file": "",
        "formatting_kept": kept,
    }
    if new != text:
        result["diff"] = {"before": text, "after": new, "before_header": str(path), "after_header": str(path)}
        if not kept:
            module.warn(f"{path} does not have one argument a line: it is written anew, without its comments.")
    if module.check_mode:
        return result
    what = f"{mirror.name} {'without' if flag.value is None else 'with'} {flag}"
    if new == text:
        if options["wait"]:
            wait(lambda: mirror.runs(mirror.accepts_flag(flag)), options["wait_timeout"], options["wait_sleep"], what)
        return result
    old = None
    if options["wait"]:
        old = wait(lambda: done(mirror.hash()), ANSWER_TIMEOUT, options["wait_sleep"], "the API server, before anything is changed")
    result["backup_file"] = str(keep(path, Path(options["backup_dir"])))
    write(module, path, new)
    if options["wait"]:
        try:
            wait(lambda: mirror.runs(mirror.accepts_new(old)), options["wait_timeout"], options["wait_sleep"], what)
        except EdgeflError as error:
            raise restore(module, path, text, mirror, old, flag, error) from error
    return result


if __name__ == "__main__":
    main()
