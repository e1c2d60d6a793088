"""Install locked packages into a folder for an image, and take out what the programs don't need. Needs only Python.

    install.py --target DIR --lock FILE [--without FILE] [--slim FILE | --slim-some FILE] [--check FILE] [--options FILE] [--with-source]
               [--machine NAME] [--pure DIR]

--without names a lock whose packages are left out: they are in a lower layer already. --slim names a list of what is
taken out; a line of it is

    GLOB         remove these files and folders (relative to DIR)
    strip GLOB   remove the symbol tables of these libraries
    pack GLOB    keep these texts as xz has them, with .xz behind the name
    stub GLOB    put a module in the place of this library that says it was taken out, when it is used

A line that matches nothing is an error: the list belongs to the locked versions and must be looked at when they change.
With --slim-some it is none: the list is for packages that may be there, in any version.
Modules are kept as bytecode only, without docstrings (Python's level 2 of optimization): they start quicker, and take
less memory and disk; with --with-source they keep source and docstrings, for packages that nobody here knows read
them. --check names a program that uses what is installed and proves that nothing needed is missing. --options names a
file with more options of pip, one a line. --machine, as uname(1) names it, installs for another processor than this one's: nothing of that is run, so
nothing is checked; without a name it is this one's. --pure names the folder for packages without code for any processor, which are the same files for
each machine. All is done in one go, for what a lower image layer holds can't be taken out by a higher one.
"""

from __future__ import annotations

import argparse
import compileall
import csv
import lzma
import os
import platform
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path


def entries(lock: Path) -> dict[str, str]:
    """The requirements of a lock by package name; several lines with different markers may have one name."""
    found: dict[str, str] = {}
    name = ""
    for line in lock.read_text().splitlines(keepends=True):
        if re.match(r"[A-Za-z0-9]", line):
            name = re.split(r"[=<>!~ ;\[]", line, maxsplit=1)[0].lower().replace("_", "-")
        if name and not line.lstrip().startswith("#"):
            found[name] = found.get(name, "") + line
    return found


def for_machine(requirements: str, machine: str) -> str:
    """The requirements as pip reads them for another machine: it takes wheels for any platform, but asks markers of this one, so both change places."""
    here = platform.machine()
    names = {
        f"{quote}{name}{quote}": f"{quote}{other}{quote}"
        for quote in "'\""
        for name, other in ((here, machine), (machine, here))
    }
    return re.sub("|".join(map(re.escape, names)), lambda found: names[found[0]], requirements)


def wheels_for(machine: str) -> list[str]:
    """Options of pip for wheels that Debian bookworm's C library (2.36) and Python run on a machine."""
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(36, 4, -1)] + [f"manylinux2014_{machine}"]
    return ["--python-version=3.11", "--implementation=cp", *(f"--platform={name}" for name in platforms)]


def size(folder: Path) -> str:
    total = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
    return f"{total / 1e6:.0f} MB"


STUB = """def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)

    def absent(*_dummy, **__):
        raise RuntimeError(f"{__name__}.{name} was taken out of the image; take its line out of fl_src/image/*-slim.txt")

    return absent
"""

OPTIONAL = """try:
{body}
except ModuleNotFoundError as err:
    _lacks = err.name

    def __getattr__(name):
        if name.startswith("__"):
            raise AttributeError(name)

        def absent(*_dummy, **__):
            raise RuntimeError(f"{{__name__}}.{{name}} needs the module {{_lacks}}: add its package to the app's dependencies")

        return absent
"""


def slim(target: Path, rules: Path, some: bool = False, strip: str = "strip") -> None:
    for number, line in enumerate(rules.read_text().splitlines(), 1):
        rule = line.partition("#")[0].strip()
        if not rule:
            continue
        verb, _dummy, pattern = rule.rpartition(" ")
        paths = [path for path in target.glob(pattern.strip()) if path.exists()]
        if not paths and not some:
            sys.exit(f"{rules} line {number}: {pattern} matches nothing any more; take the line out or correct it")
        for path in paths:
            if verb == "strip":
                if path.is_file() and not path.is_symlink():
                    subprocess.run([strip, "--strip-unneeded", path], check=not some)
            elif verb == "pack":
                path.with_name(f"{path.name}.xz").write_bytes(lzma.compress(path.read_bytes()))
                path.unlink()
            elif verb == "stub":
                path.unlink()
                path.with_name(path.name.partition(".")[0] + ".py").write_text(STUB)
            elif verb == "optional":
                path.write_text(OPTIONAL.format(body=textwrap.indent(path.read_text(), "    ")))
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def bytecode_only(target: Path) -> None:
    """Turn module.py into module.pyc, which Python imports without source; what is no valid source stays.

    The same source gives the same bytes, whenever it was installed: an edge that has them in an older image copies them.
    """
    compileall.compile_dir(
        target, quiet=2, legacy=True, optimize=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    for compiled in target.rglob("*.pyc"):
        compiled.with_suffix(".py").unlink(missing_ok=True)


def bytecode_too(target: Path) -> None:
    """Compile all modules, so that no pod has to, whatever times their files get in a layer."""
    compileall.compile_dir(target, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


def names_of_pure(target: Path) -> set[str]:
    """
    What lies at the top of the folder and is only of packages whose wheels are for any machine (PyPA's platform compatibility tags: `any`), modules without
    their suffix.
    """
    owners: dict[str, set[bool]] = {}
    for wheel in target.glob("*.dist-info/WHEEL"):
        tags = [line for line in wheel.read_text().splitlines() if line.startswith("Tag: ")]
        pure = all(tag.endswith("-any") for tag in tags)
        with wheel.with_name("RECORD").open(newline="") as record:
            for path, *_rest in csv.reader(record):
                owners.setdefault(path.partition("/")[0].removesuffix(".py"), set()).add(pure)
    return {name for name, kinds in owners.items() if kinds == {True}}


def part(target: Path, pure: Path, names: set[str]) -> None:
    """Move what has these names from one folder to the other."""
    pure.mkdir(parents=True, exist_ok=True)
    for path in target.iterdir():
        if path.name.removesuffix(".pyc").removesuffix(".py") in names:
            path.rename(pure / path.name)


def run(check: Path, *folders: Path) -> None:
    """Run the check on what is installed, on top of what PYTHONPATH has."""
    path = os.pathsep.join(filter(None, (*map(str, folders), os.environ.get("PYTHONPATH"))))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    subprocess.run([sys.executable, "-B", check], check=True, env=environment | {"PYTHONPATH": path})


def main() -> None:
    parser = argparse.ArgumentParser(description="Install locked packages into a folder and slim it.")
    for option in ("target", "lock", "slim", "slim-some", "check", "without", "options", "pure"):
        parser.add_argument(f"--{option}", type=Path, required=option in ("target", "lock"))
    parser.add_argument("--with-source", action="store_true")
    parser.add_argument("--machine", default="")
    a = parser.parse_args()
    strip = f"{a.machine}-linux-gnu-strip" if a.machine else "strip"
    a.target.mkdir(parents=True, exist_ok=True)
    wanted = entries(a.lock)
    if not wanted:
        return
    if a.without:
        wanted = {name: text for name, text in wanted.items() if name not in entries(a.without)}
    with tempfile.TemporaryDirectory() as scratch:
        pip, subset = Path(scratch, "pip"), Path(scratch, "subset.txt")
        requirements = "".join(wanted.values())
        subset.write_text(for_machine(requirements, a.machine) if a.machine else requirements)
        subprocess.run([sys.executable, "-m", "venv", pip], check=True)
        command: list[str | Path] = [
            pip / "bin/pip",
            "install",
            "--no-cache-dir",
            "--no-deps",
            "--require-hashes",
            "--only-binary=:all:",
            "--no-compile",
            "--quiet",
        ]
        command += wheels_for(a.machine) if a.machine else []
        command += a.options.read_text().splitlines() if a.options else []
        subprocess.run([*command, "--disable-pip-version-check", "--target", a.target, "-r", subset], check=True)
    before = size(a.target)
    # What is taken out below has that list, too
    pure = names_of_pure(a.target) if a.pure else set()
    if a.slim:
        slim(a.target, a.slim, strip=strip)
    if a.slim_some:
        slim(a.target, a.slim_some, some=True, strip=strip)
    if a.with_source:
        bytecode_too(a.target)
    else:
        bytecode_only(a.target)
    kept = f"{size(a.target)} kept"
    if a.pure:
        part(a.target, a.pure, pure)
        kept += f", {size(a.pure)} of them for any machine"
    if a.check and not a.machine:
        run(a.check, *filter(None, (a.target, a.pure)))
    print(f"{a.target.name}: {before} installed, {kept}")


if __name__ == "__main__":
    main()
