"""
Builds the documentation's site: the pages of docs/, and one page for each role, module and plugin, by antsibull-docs and Sphinx.

Call: python tools/site.py [FOLDER] (or `make docs`). A warning is an error. FOLDER/html/index.html is the first page.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.helpers import BIN, ROOT, files, run

TARGET = ROOT / "build/site"


def build(target: Path) -> Path:
    """
    Makes the site in `target`, which is emptied first.

    :return: the folder with the pages
    :raises AssertionError: with the output of the program that failed
    """
    shutil.rmtree(target, ignore_errors=True)
    source, pages = target / "source", target / "html"
    for path in files("docs/**"):
        copy = source / path.relative_to("docs")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, copy)
    collection = source / "collection"
    # antsibull-docs refuses a folder that others may write to
    collection.mkdir(mode=0o700)
    run(
        BIN / "antsibull-docs", "--config-file", ROOT / "docs/antsibull-docs.cfg", "collection", "--use-current",
        "--squash-hierarchy", "--fail-on-error", "--cleanup", "everything", "--dest-dir", collection, "edgefl.kubeedge",
        timeout=300,
    ).ok()  # fmt: skip
    run(
        BIN / "python", "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "--builder", "html",
        "--conf-dir", ROOT / "docs", source, pages,
        timeout=300,
    ).ok()  # fmt: skip
    return pages


def main() -> int:
    """Builds the site and says where it is."""
    target = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else TARGET
    try:
        print(f"{build(target)}/index.html")
    except AssertionError as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
