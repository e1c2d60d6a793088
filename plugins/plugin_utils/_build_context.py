# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what images are built from: the sources, and what a Flower app adds to them: files of the build context, build arguments, stages."""

from __future__ import annotations

import hashlib
import json
import re
import typing as t
from collections.abc import Mapping
from pathlib import Path

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._app import Files
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._app_lock import PROGRAMS, wheels_of
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._sources import Sources

# Before a target's name: the Dockerfile's stages for Flower apps
STAGES = "flower_"
_DEBIAN_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")


def sources(recipe: Mapping[str, t.Any]) -> tuple[Sources, dict[str, str]]:
    """What is built from, and the build arguments. Raises EdgeflError for what can't be read.

    :param recipe: C(source), C(arguments) and C(flower_app) as options of M(edgefl.kubeedge.image_build)
    """
    flower, given = recipe.get("flower_app"), {**(recipe.get("arguments") or {})}
    if not flower:
        return Sources(recipe["source"]), given
    return Sources(recipe["source"], *files(flower)), given | arguments(flower)


def architectures(recipe: Mapping[str, t.Any]) -> dict[str, dict[str, str]]:
    """Build arguments of the clients' image for each architecture that is not the host's own. Raises EdgeflError where that can't be built.

    :param recipe: as for C(sources), with C(architectures), by their names
    """
    flower, found = recipe.get("flower_app"), {}
    for name in recipe.get("architectures") or {}:
        found[str(name)] = dict[str, str]()
        if not flower:
            continue
        if flower.get("packages"):
            raise EdgeflError(
                f"{', '.join(flower['packages'])} (edgefl_app_packages) can't be in images for {name}, which is not the cloud node's architecture: let the app"
                f" have Python packages among its dependencies instead, or take edges of {name} out of the inventory."
            )
        lock = flower["others"][name]
        found[str(name)] = {"CLIENT_FRAMEWORK": str(lock["framework"]), "CLIENT_LOCK": f"flower/client-{name}.txt"}
    return found


def engine(recipe: Mapping[str, t.Any]) -> str:
    """Checksum of what runs the app C(app_name) in the images, 16 hexadecimal digits: the recipe without the app. The base image counts by its name here.

    :param recipe: as for C(sources), with C(base_image) and C(app_name)
    """
    found, given = sources(recipe)
    parts = [found.digest(without=recipe["app_name"]), given, recipe["base_image"]]
    if others := architectures(recipe):
        parts.append(others)
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def files(flower: Mapping[str, t.Any]) -> tuple[dict[str, bytes | Path], dict[str, bytes | Path]]:
    """Files that make the images, and those that only their build needs. Raises EdgeflError for what can't be read.

    :param flower: as the option C(flower_app) of M(edgefl.kubeedge.image_build)
    """
    app = Files(Path(flower["path"]))
    app.check_size()
    locks = {program: str(flower["locks"][program]["text"]) for program in PROGRAMS}
    locks |= {f"client-{name}": str(lock["text"]) for name, lock in (flower.get("others") or {}).items()}
    more: dict[str, bytes | Path] = {f"flower/app/{flower['name']}/{name}": app.read(name) for name in app}
    more |= {f"flower/{program}.txt": text.encode() for program, text in locks.items()}
    options = list(flower.get("pip_options") or [])
    unnamed: dict[str, bytes | Path] = {}
    if flower.get("wheels"):
        options += ["--no-index", "--find-links=/build/wheels"]
        found = wheels_of(flower["wheels"], *locks.values())
        unnamed |= {f"flower/wheels/{name}": path for name, path in found.items()}
    unnamed["flower/pip-options.txt"] = "".join(f"{option}\n" for option in options).encode()
    return more, unnamed


def arguments(flower: Mapping[str, t.Any]) -> dict[str, str]:
    """Build arguments. Raises EdgeflError for what names no Debian package."""
    found = {f"{program.upper()}_FRAMEWORK": str(flower["locks"][program]["framework"]) for program in PROGRAMS}
    packages = [str(name) for name in flower.get("packages") or []]
    for name in packages:
        if not _DEBIAN_PACKAGE.fullmatch(name):
            raise EdgeflError(f"edgefl_app_packages has {name!r}, which names no Debian package, such as libgl1.")
    if packages:
        found |= {"APP_BASE": "packages_base", "APP_PACKAGES": " ".join(sorted(packages))}
    return found
