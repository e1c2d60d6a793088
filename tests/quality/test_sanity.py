"""ansible-test sanity, without ignore entries, on a copy at the path that it asks for; it needs a package index, but no other download."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from support.helpers import BIN, ROOT, copy_collection, files, run

# Kept between runs: the environments that ansible-test makes for its tools
HOME = ROOT / ".ansible/sanity"

# What ansible-test takes for pip's bootstrap script. In a process of its own, as ensurepip switches pip's configuration off where it runs.
BOOTSTRAP = """\
import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"])
packages = [word for word in sys.argv[1:] if not word.startswith("-")]
if packages:
    subprocess.check_call([sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *packages])
"""


def pip_version() -> str:
    """Version of pip whose bootstrap script ansible-test looks for, such as 24.2: it is part of the script's name."""
    import ansible_test._internal.python_requirements as source

    found = re.search(r"pip='([0-9.]+)'", Path(source.__file__).read_text())
    assert found, f"{source.__file__} does not say which pip it wants: adapt this test to the new ansible-test"
    return found[1]


def write_home() -> None:
    """A home for ansible-test: the bootstrap script, and pip's configuration as it is here, as ansible-test hands no PIP_* variable on."""
    script = HOME / ".ansible/test/cache" / f"get_pip_{pip_version().replace('.', '_')}.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(BOOTSTRAP)
    settings = {}
    for line in run(BIN / "python", "-m", "pip", "config", "list").ok().output.splitlines():
        key, value = line.split("=", 1)
        # `:env:.cert='/a/file'`, `global.cert='/a/file'`: the environment, listed last, wins
        settings[key.split(".", 1)[1]] = value.strip("'\"").replace("\\n", "\n ")
    config = HOME / ".config/pip/pip.conf"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))


def test_no_ignore_entries() -> None:
    assert files("tests/sanity/ignore*") == []


def test_sanity(tmp_path: Path) -> None:
    write_home()
    collection = tmp_path / "ansible_collections/edgefl/kubeedge"
    copy_collection(collection)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    result = run(
        "ansible-test", "sanity", "--local", "--requirements", "--python", python, "--color", "no", "--truncate", "0",
        cwd=collection, env={"HOME": str(HOME)},
    )  # fmt: skip
    if result.code != 0:
        # Without the lines about installed tools, unless it never came to the tests
        found = [
            line for line in result.output.splitlines() if line.startswith(("ERROR", "WARNING", "FATAL", "See doc"))
        ]
        pytest.fail(
            "\n".join(found) if "sanity test(s) listed below" in result.output else result.output, pytrace=False
        )
