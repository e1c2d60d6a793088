# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: whether the endpoint of a model predicts what it should."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import printable
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.wait import Outcome, done, failed, pending


class Endpoint:
    """The model `name` in its `version`, asked by `fetch`. `request` must be answered with `outputs`, but for a share `tolerance` of each number."""

    def __init__(
        self,
        fetch: Callable[..., tuple[int, Any]],
        name: str,
        version: str,
        request: dict[str, Any],
        outputs: list[Any],
        tolerance: float,
    ) -> None:
        self._fetch, self._name, self._version = fetch, name, version
        self._request, self._outputs, self._tolerance = request, outputs, tolerance

    def predicts(self) -> Outcome:
        """Done with the outputs when it is ready, has the version, and answers as it should."""
        code, about = self._fetch("/v2/health/ready")
        if code != 200:
            return pending(printable(f"it is not ready: {_error(about)}"))
        code, about = self._fetch(f"/v2/models/{self._name}")
        versions = about.get("versions") if isinstance(about, dict) else None
        if code != 200 or versions != [self._version]:
            # Of the pod before, which is on its way out
            return pending(
                printable(f"it has version {versions if code == 200 else _error(about)}, not {self._version}")
            )
        if not self._request:
            return done([])
        code, answer = self._fetch(f"/v2/models/{self._name}/infer", self._request)
        if code != 200 or not isinstance(answer, dict):
            return failed(printable(f"it does not predict: {_error(answer)}"))
        flaw = difference(answer.get("outputs"), self._outputs, self._tolerance)
        return failed(flaw) if flaw else done(answer["outputs"])


def _error(answer: Any) -> str:
    return str(answer.get("error", answer)) if isinstance(answer, dict) else str(answer)


def difference(found: Any, wanted: list[Any], tolerance: float) -> str:
    """In what outputs differ from those that are wanted; empty when they are alike."""
    if not isinstance(found, list) or [_form(each) for each in found] != [_form(each) for each in wanted]:
        return "it predicts outputs of another form than where the model was made"
    for have, want in zip(found, wanted):
        for place, (value, expected) in enumerate(zip(have["data"], want["data"])):
            numbers = value is not None and expected is not None
            if value != expected and not (numbers and abs(value - expected) <= tolerance * max(1.0, abs(expected))):
                return f"it predicts {value} as number {place} of {have['name']}, where the model was made it was {expected}"
    return ""


def _form(output: Any) -> Any:
    if not isinstance(output, dict) or not isinstance(output.get("data"), list):
        return None
    numbers = all(value is None or (isinstance(value, (int, float)) and value - value == 0) for value in output["data"])
    return (
        printable(str(output.get("name"))),
        output.get("shape"),
        output.get("datatype"),
        len(output["data"]),
        numbers,
    )
