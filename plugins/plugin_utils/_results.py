# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the files of a run, or of a comparison of several, on the controller; each is written so that it is whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import events
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.run_name import LATEST, check_run
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _rounds
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import repetitions
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.data import (
    DETAILS,
    TELEMETRY,
    Details,
    Run,
    Setting,
    dump_telemetry,
    parse_details,
    parse_telemetry,
)

SUMMARY, REPORT = "summary.json", "report.html"
# What report and plots were drawn from, and their checksums
DRAWN = "drawn.json"
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DRAWN_NAME = re.compile(r"report\.html|plots/[A-Za-z0-9._-]+\.csv")
# The programs that draw, whose change makes another report
_PROGRAMS = (".py", ".j2", ".css")

Files = dict[str, bytes]
"""Path below a run's folder -> content."""


# What is to be written -----------------------------------------------------------------------------------------------


def inputs(folder: Path, telemetry: list[Any] | None, details: dict[str, Any] | None) -> Files:
    """The files of telemetry and details: as given, or, where None is given, as they are in the folder, if they are."""
    given = {
        TELEMETRY: None if telemetry is None else dump_telemetry(telemetry),
        DETAILS: None if details is None else _json(details),
    }
    found = {}
    for name, data in given.items():
        path = folder / name
        try:
            data = path.read_bytes() if data is None and path.is_file() else data
        except OSError as error:
            raise EdgeflError(f"{path} can't be read ({error.strerror}): give rights to it.") from error
        if data is not None:
            found[name] = data
    return found


def load_run(name: str, lines: list[events.Event], data: Files) -> Run:
    """A run from its events and the files of its telemetry and details."""
    telemetry = [_loads(line, TELEMETRY) for line in data.get(TELEMETRY, b"").splitlines()]
    return Run(name, lines, parse_telemetry(telemetry), load_details(data))


def load_details(data: Files) -> Details:
    """The details of L(inputs) as objects."""
    return parse_details(_loads(data.get(DETAILS, b"{}"), DETAILS))


def load_settings(dest: Path, given: list[dict[str, Any]]) -> list[Setting]:
    """The settings with their runs, read from the folders of the runs.

    Raises EdgeflError for a name that is there twice, a setting without runs, and a run that has no results.
    """
    names = [setting["name"] for setting in given]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise EdgeflError(f"Settings are to have different names; there twice: {', '.join(twice)}.")
    found = []
    for setting in given:
        if not setting["runs"]:
            raise EdgeflError(f"Setting {setting['name']!r} has no runs: name at least one.")
        found.append(Setting(setting["name"], [_stored_run(dest / check_run(run)) for run in setting["runs"]]))
    return found


def _stored_run(folder: Path) -> Run:
    path = folder / events.FILE
    try:
        parsed = events.parse(path.read_bytes())
    except OSError as error:
        raise EdgeflError(
            f"{path} can't be read ({error.strerror}): a run is compared when its results are there; collect them, or leave it out."
        ) from error
    if parsed.problem or not _rounds.rounds(parsed.events):
        raise EdgeflError(f"{path}: {parsed.problem or 'it has no finished round'}; train it again, or leave it out.")
    return load_run(folder.name, parsed.events, inputs(folder, None, None))


def check(run: Run, sha256: str) -> None:
    """Raises EdgeflError when the events are not those with this checksum; none is asked for when it is empty."""
    if sha256 and hashlib.sha256(events.dump(run.events)).hexdigest() != sha256:
        raise EdgeflError(
            "The events are not those that the aggregator wrote (their checksum differs): give them as training_results returned them."
        )


def texts(logs: Mapping[str, Any], manifests: Mapping[str, Any]) -> Files:
    """The files of logs and manifests. Raises EdgeflError when a name is not that of a file."""
    found = {}
    for folder, named in (("logs", logs), ("manifests", manifests)):
        for name, text in named.items():
            if not _FILE_NAME.fullmatch(name):
                raise EdgeflError(f"{name!r} in {folder} is no name of a file: use letters, digits, `.`, `_` and `-`.")
            found[f"{folder}/{name}"] = str(text).encode()
    return found


def run_files(folder: Path, run: Run, data: Files, report: bool) -> Files:
    """The files of a run whose L(inputs) are `data`. The last, summary.json, tells that the others are there."""
    lines = events.dump(run.events)
    found = {**data, events.FILE: lines, "rounds.csv": _rounds.table(run.events).encode()}
    found |= _drawn(folder, {**data, events.FILE: lines}, report, lambda: _drawing().run_report(run).files())
    return {**found, SUMMARY: _json(_rounds.summary(run.events, run.name))}


def comparison_files(folder: Path, settings: list[Setting], data: Files, report: bool) -> Files:
    """The same for a comparison of settings; its name is that of the folder."""
    found = {**data, "comparison.csv": repetitions.csv_table(settings).encode()}
    # The settings are made of plain data alone
    drawn_from = {**data, "settings": repr(settings).encode()}
    found |= _drawn(
        folder, drawn_from, report, lambda: _drawing().comparison_report(settings, load_details(data)).files()
    )
    return {**found, SUMMARY: _json(repetitions.summary(folder.name, settings))}


def _drawn(folder: Path, data: Files, report: bool, draw: Callable[[], Files]) -> Files:
    """Report and plots: those in the folder when they were drawn from the same data; else, where a report is wanted, new ones."""
    note = _note(folder)
    sums = {"data": _digest(data), "programs": _programs()}
    # Without Matplotlib it can't be drawn again: it is right, though an older program drew it
    asked = ("data", "programs") if report else ("data",)
    if note and all(note[key] == sums[key] for key in asked):
        found = _intact(folder, note["files"])
        if found:
            return found
    if not report:
        return {}
    files = draw()
    return {**files, DRAWN: _json({**sums, "files": {name: _sha256(content) for name, content in files.items()}})}


def _note(folder: Path) -> dict[str, Any]:
    """What tells of the report in the folder; empty when there is none, or it is damaged."""
    try:
        note = json.loads((folder / DRAWN).read_bytes())
        found = {"data": note["data"], "programs": note["programs"], "files": dict(note["files"])}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return found if all(map(_DRAWN_NAME.fullmatch, found["files"])) else {}


def _intact(folder: Path, sums: Mapping[str, str]) -> Files:
    """These files and the note, when all have these checksums; else none."""
    try:
        found = {name: (folder / name).read_bytes() for name in [*sums, DRAWN]}
    except OSError:
        return {}
    return found if all(_sha256(found[name]) == checksum for name, checksum in sums.items()) else {}


def _drawing() -> Any:
    """The module that draws. Matplotlib takes more than a second to load, so it comes when it is needed."""
    from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import page, svg

    if svg.MATPLOTLIB_ERROR:
        raise EdgeflError(
            "The Python library matplotlib is not there, which draws the report: call pip install matplotlib in the Python that runs Ansible, "
            "or do without the report (edgefl_report: false).",
            exception=svg.MATPLOTLIB_ERROR,
        )
    return page


def _programs() -> str:
    """16 hex digits over the programs that draw."""
    folder = Path(__file__).with_name("_report")
    sources = [Path(_rounds.__file__), *(path for path in folder.rglob("*") if path.suffix in _PROGRAMS)]
    return _digest({path.name: path.read_bytes() for path in sources})


def _digest(files: Files) -> str:
    """16 hex digits over names and contents."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name} {len(files[name])}\n".encode() + files[name])
    return total.hexdigest()[:16]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def _loads(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise EdgeflError(f"{name} in the folder of the results is damaged ({error}): remove it.") from error


# How it is written ---------------------------------------------------------------------------------------------------


def outdated(folder: Path, wanted: Files) -> list[str]:
    """Files of an earlier report in the folder that show what is no more."""
    note = _note(folder)
    names = [*note["files"], DRAWN] if note else []
    return [name for name in names if name not in wanted and (folder / name).is_file()]


def remove(folder: Path, names: list[str]) -> None:
    """Removes these files."""
    for name in names:
        try:
            (folder / name).unlink()
        except OSError as error:
            raise _error(folder / name, error) from error


def differing(folder: Path, wanted: Files) -> list[str]:
    """The files that are missing, or have another content."""
    return [name for name, data in wanted.items() if not _same(folder / name, data)]


def _same(path: Path, data: bytes) -> bool:
    try:
        return not path.is_symlink() and path.stat().st_size == len(data) and path.read_bytes() == data
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _error(path, error) from error


def write(folder: Path, wanted: Files, names: list[str]) -> None:
    """Writes these files, each by way of a temporary one next to it, and reads them back."""
    for name in names:
        path, data = folder / name, wanted[name]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, data)
            size, checksum = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise _error(path, error) from error
        if size != len(data) or checksum != hashlib.sha256(data).hexdigest():
            raise EdgeflError(
                f"{path} does not hold what was written to it ({size} of {len(data)} bytes): check the disk."
            )


def _replace(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def link_differs(dest: Path, run: str) -> bool:
    """Whether `latest` has to be made to point to this run. Raises EdgeflError when something else than a link has that name."""
    link = dest / LATEST
    if link.is_symlink():
        return os.readlink(link) != run
    if link.exists():
        raise EdgeflError(f"{link} is not a link: rename it, it is to point to the results of the newest run.")
    return True


def link(dest: Path, run: str) -> None:
    """Makes `latest` point to the run, in one step."""
    temporary = dest / f".{LATEST}.{os.getpid()}"
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(run)
        os.replace(temporary, dest / LATEST)
    except OSError as error:
        raise _error(dest / LATEST, error) from error


def _error(path: Path, error: OSError) -> EdgeflError:
    return EdgeflError(
        f"{path} can't be written ({error.strerror}): make room or give rights there, or set edgefl_results_dir to another folder."
    )
