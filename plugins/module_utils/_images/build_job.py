# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what one call of the module image_build does: it looks, begins a build in the background, or follows one."""

from __future__ import annotations

import base64
import os
import platform
import zlib
from pathlib import Path
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.job import Job
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.build import Build, Builder

JOBS = "/run/edgefl-build"
# A build that nobody waits for any more goes on, so that the next run finds the images; for hours it does not
ABANDONED = 7200.0


def call(builder: Builder, options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """The results of one call with the module's `options`. Raises EdgeflError for a build that failed, and for one that nobody began."""
    if not options["tag"] and not (options["sources"] and options["base_image"]):
        raise EdgeflError("Give source and base_image of what is to be built, or the tag of what was begun.")
    tag: str = options["tag"] or builder.tag(lenient=check_mode)
    result: dict[str, Any] = {"tag": tag, "missing": [], "changed": False, "running": False, "wants_base": not tag}
    if not tag:
        return result
    if check_mode:
        snapshot = builder.snapshot(tag)
        return {**result, "missing": snapshot.missing, "changed": snapshot.lacking}
    job = Job(os.path.join(JOBS, builder.recipe.job(tag)), "builds the images", ABANDONED)
    if options["sources"] and job.exists() and job.ended():
        # Of an earlier run, which did not wait for it
        job.remove()
    if not job.exists() and not _begin(job, builder, options, result):
        return {**result, "untried": builder.untried(tag)}
    found = _follow(job, builder, tag, options["wait"], options["linger"])
    return {**result, **found, "untried": builder.untried(tag), "changed": result["changed"]}


def _begin(job: Job, builder: Builder, options: dict[str, Any], result: dict[str, Any]) -> bool:
    """Begins the build if something is missing, and notes in `result` what is; whether there is one to follow."""
    tag = result["tag"]
    snapshot = builder.snapshot(tag)
    result.update(missing=snapshot.missing, changed=snapshot.lacking)
    if snapshot.missing and not options["sources"]:
        raise EdgeflError(
            f"{builder.recipe.name(snapshot.missing[0], tag)} is neither built nor being built on {platform.node()}: run the role build_images first."
        )
    if snapshot.missing and not (options["context"] or options["packed"]):
        result["wants_context"] = True
        return False
    if not snapshot.missing and not snapshot.untried:
        builder.give_plain_tag(tag, snapshot.untagged)
        return False
    job.begin(Build(builder, snapshot, context(options), platform.node()))
    return True


def _follow(job: Job, builder: Builder, tag: str, wait: str, linger: float) -> dict[str, Any]:
    found = job.follow(
        0 if wait == "none" else linger,
        lambda progress: wait != "tried" and progress["stage"] == "tries",
    )
    if not found["running"]:
        # Not by the job, which may be that of a run that was broken off, and end after a newer one. And whoever ships by the
        # plain tag gets no image whose app does not work.
        builder.give_plain_tag(tag, builder.snapshot(tag).untagged)
    elif wait == "built":
        found["running"] = found["progress"]["stage"] == "builds"
    return found


def context(options: dict[str, Any]) -> bytes:
    """The archive of the sources; empty where none was given."""
    if options["context"]:
        return Path(options["context"]).read_bytes()
    return zlib.decompress(base64.b64decode(options["packed"])) if options["packed"] else b""
