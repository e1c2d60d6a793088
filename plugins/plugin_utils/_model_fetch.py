# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what of a run's model is lacking on the controller, and what the folder has when that came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.model import ABOUT, EXAMPLE, KERAS
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _model, _results


@dataclass
class Fetch:
    """The model of `run` on its way to `folder`: files that the cloud node has, paths that are lacking here, whether a Keras model is to be made, or was."""

    folder: Path
    run: str
    about: dict[str, Any]
    files: list[dict[str, Any]]
    left_out: list[str]
    want: list[str]
    image: str
    make: bool
    made: dict[str, Any]

    @classmethod
    def of(cls, found: Mapping[str, Any], options: Mapping[str, Any]) -> Fetch:
        """For what the module found on the cloud node, and the options of the task."""
        about, left_out = found["about"], list(found["left_out"])
        folder = Path(options["dest"]).expanduser() / found["run"] / _model.FOLDER
        image, made = options.get("image", ""), _model.made(folder, about)
        make = bool(image and about and not made)
        if make and about["app"] != str(options.get("app", "")).rpartition("/")[2]:
            left_out.append(
                f"{KERAS} is not made: the run's app is {about['app']}, not that of edgefl_app; give that one"
            )
            make = False
        want = _model.lacking(folder, found["files"])
        return cls(folder, found["run"], about, found["files"], left_out, want, image, make, made)

    @property
    def needed(self) -> bool:
        """Whether the cloud node is to pack something."""
        return bool(self.want or self.make)

    def take(self, archive: Path, packed: Mapping[str, Any]) -> None:
        """Unpacks what the cloud node packed, and notes what it made."""
        sums = {file["path"]: file["sha256"] for file in self.files if file["path"] in self.want}
        names = {"keras": KERAS, "example": EXAMPLE}
        sums |= {names[name]: file["sha256"] for name, file in packed["made"].items() if name in names}
        _model.unpack(archive, self.folder, sums)
        if self.make and packed["problem"]:
            self.left_out.append(f"{KERAS} is not made: {packed['problem']}")
        elif self.make:
            self.made = packed["made"] | {"image": self.image}

    def finish(self, check_mode: bool) -> dict[str, Any]:
        """Writes model.json and removes what is no part of the model any more, but not in check mode; the task's result."""
        # What would be made in earnest is not known
        open_ = self.make and check_mode
        here = [file["path"] for file in self.files]
        names = {KERAS: self.made.get("keras"), EXAMPLE: self.made.get("example")}
        there = [*here, *(name for name, file in names.items() if file)]
        about = self.about
        if about:
            about = about | self.made | {"work": [path for path in here if path.startswith("work/")]}
        text = _model.dump(about)
        differs = bool(about) and not open_ and bool(_results.differing(self.folder, {ABOUT: text}))
        outdated = [] if open_ else _model.outdated(self.folder, there)
        if not check_mode:
            if differs:
                _results.write(self.folder, {ABOUT: text}, [ABOUT])
            _results.remove(self.folder, outdated)
        new = [KERAS] if open_ else [name for name, file in names.items() if file and self.make]
        return {
            "changed": bool(self.want or differs or outdated or open_),
            "run": self.run,
            "path": str(self.folder),
            "about": about,
            "files": self.files,
            "fetched": [*self.want, *new],
            "left_out": self.left_out,
            "text": [*_model.words(self.folder, about, there), *(f"Left out: {each}" for each in self.left_out)],
        }
