"""What is installed into a layer of the images."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

from support.helpers import ROOT

INSTALL = runpy.run_path(str(ROOT / "fl_src/image/install.py"))


def test_bytecode_is_the_same_whenever_it_was_installed(tmp_path: Path) -> None:
    """Else no edge could copy a file of an older image when one package is added."""
    module, found = tmp_path / "package/module.py", []
    module.parent.mkdir()
    for seconds in (1_000_000, 2_000_000):
        module.write_text('"""Documented."""\nVALUE = {name for name in ("a", "b")}\n')
        os.utime(module, (seconds, seconds))
        INSTALL["bytecode_only"](tmp_path)
        found.append((tmp_path / "package/module.pyc").read_bytes())
    assert found[0] == found[1] and not module.exists()
    program = "import package.module; assert package.module.VALUE == {'a', 'b'} and package.module.__doc__ is None"
    subprocess.run([sys.executable, "-B", "-c", program], check=True, cwd=tmp_path)
