# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the files of a run on the controller, written so that each is whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import events as _training
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.reader import check_run
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import data as _report_data
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.data import Details, Run, Setting

LATEST, SUMMARY, MADE_OF = "latest", "summary.json", "made-of.json"
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def files(run: Run, logs: dict[str, str], manifests: dict[str, str], kept: dict[str, bytes]) -> dict[str, bytes]:
    """What is to be written: path below the run's folder -> content. The last, summary.json, tells that the others are there.

    `kept` are the files of telemetry and details that the run was made of. Raises EdgeflError when a name is not that of a file.
    """
    lines = _training.dump(run.events)
    found = {}
    for folder, texts in (("logs", logs), ("manifests", manifests)):
        for name, text in texts.items():
            if not _FILE_NAME.fullmatch(name):
                raise EdgeflError(f"{name!r} in {folder} is no name of a file: use letters, digits, `.`, `_` and `-`.")
            found[f"{folder}/{name}"] = str(text).encode()
    found |= kept
    drawn = {**kept, _training.FILE: lines, "rounds.csv": _training.table(run.events).encode()}
    drawn |= _drawing().run_report(run).files()
    summary = {SUMMARY: _json(_training.summary(run.events, run.name))}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in {**drawn, **summary}.items()}
    return {**found, **drawn, MADE_OF: _json({"key": key(run, kept), "files": sums}), **summary}


def check(run: Run, sha256: str) -> None:
    """Raises EdgeflError when the events are not those with this checksum; none is asked for when it is empty."""
    if sha256 and hashlib.sha256(_training.dump(run.events)).hexdigest() != sha256:
        raise EdgeflError(
            "The events are not those that the aggregator wrote (their checksum differs): give them as training_results returned them."
        )


def key(run: Run, kept: dict[str, bytes]) -> str:
    """16 hex digits over all that a run's files are made of but logs and manifests: events, telemetry, details, and the programs here."""
    total = hashlib.sha256(_training.dump(run.events))
    for name in sorted(kept):
        total.update(name.encode() + kept[name])
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        total.update(source.read_bytes())
    return total.hexdigest()[:16]


def as_made(folder: Path, wanted: str) -> dict[str, bytes]:
    """The files in the folder when they are there as they were made, of what has this key; else none: they are to be drawn."""
    try:
        note = json.loads((folder / MADE_OF).read_bytes())
        found = {name: (folder / name).read_bytes() for name in [*note["files"], MADE_OF]}
        same = all(hashlib.sha256(found[name]).hexdigest() == checksum for name, checksum in note["files"].items())
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return found if same and note["key"] == wanted else {}


def _drawing() -> Any:
    """The module that draws. Matplotlib takes more than a second to load, so it comes when it is needed."""
    from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import page as _report
    from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import svg as _report_svg

    if _report_svg.MATPLOTLIB_ERROR:
        raise EdgeflError(
            "The Python library matplotlib is not there, which draws the report: install requirements.txt for the Python that runs Ansible.",
            exception=_report_svg.MATPLOTLIB_ERROR,
        )
    return _report


def comparison_files(name: str, settings: list[Setting], details: Details, kept: dict[str, bytes]) -> dict[str, bytes]:
    """The same for a comparison of settings."""
    drawing = _drawing()
    found = {**kept, "comparison.csv": drawing.compare.csv_table(settings).encode()}
    found |= drawing.comparison_report(settings, details).files()
    found[SUMMARY] = _json(drawing.compare.summary(name, settings))
    return found


def told(name: str, settings: list[Setting], report: str) -> tuple[dict[str, Any], list[str]]:
    """The summary of a comparison, as data and in words for people."""
    compare = _drawing().compare
    found: dict[str, Any] = compare.summary(name, settings)
    return found, compare.words(found, report)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def beside(folder: Path, telemetry: list[Any] | None, details: dict[str, Any] | None) -> dict[str, bytes]:
    """The files of telemetry and details: as given, or, where None is given, as they are in the folder, if they are."""
    given = {
        _report_data.TELEMETRY: None if telemetry is None else _report_data.lines(telemetry),
        _report_data.DETAILS: None if details is None else _json(details),
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


def made_of(name: str, events: list[dict[str, Any]], kept: dict[str, bytes]) -> Run:
    """A run from its events and the files of its telemetry and details."""
    telemetry = [_loads(line, _report_data.TELEMETRY) for line in kept.get(_report_data.TELEMETRY, b"").splitlines()]
    return Run(name, events, _report_data.telemetry(telemetry), details_of(kept))


def details_of(kept: dict[str, bytes]) -> Details:
    """The details as objects."""
    return _report_data.details(_loads(kept.get(_report_data.DETAILS, b"{}"), _report_data.DETAILS))


def _loads(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise EdgeflError(f"{name} in the folder of the results is damaged ({error}): remove it.") from error


def compared(dest: Path, given: list[dict[str, Any]]) -> list[Setting]:
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
        found.append(Setting(setting["name"], [_stored(dest / check_run(run)) for run in setting["runs"]]))
    return found


def _stored(folder: Path) -> Run:
    path = folder / _training.FILE
    try:
        parsed = _training.parse(path.read_bytes())
    except OSError as error:
        raise EdgeflError(
            f"{path} can't be read ({error.strerror}): a run is compared when its results are there; collect them, or leave it out."
        ) from error
    if parsed.problem or not _training.rounds(parsed.events):
        raise EdgeflError(f"{path}: {parsed.problem or 'it has no finished round'}; train it again, or leave it out.")
    return made_of(folder.name, parsed.events, beside(folder, None, None))


def differing(folder: Path, wanted: dict[str, bytes]) -> list[str]:
    """The files that are missing, or have another content."""
    return [name for name, data in wanted.items() if not _same(folder / name, data)]


def _same(path: Path, data: bytes) -> bool:
    try:
        return not path.is_symlink() and path.stat().st_size == len(data) and path.read_bytes() == data
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _error(path, error) from error


def write(folder: Path, wanted: dict[str, bytes], names: list[str]) -> None:
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
