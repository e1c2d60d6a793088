"""The documentation as a site. `make docs` (tools/site.py) gathers these pages and those that antsibull-docs makes, and calls Sphinx."""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util import logging

ROOT = Path(__file__).resolve().parents[1]
SOURCES = "https://github.com/edgefl/kubeedge/blob/main/"
# Labels of Ansible's own documentation that pages of antsibull-docs refer to. Not by intersphinx: the site is built without a network
ANSIBLE = "https://docs.ansible.com/projects/ansible/latest/"
ANSIBLE_PAGES = {
    "action_plugins": "plugins/action.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "callback_plugins": "plugins/callback.html",
    "common_return_values": "reference_appendices/common_return_values.html",
    "inventory_plugins": "plugins/inventory.html",
}

project = "edgefl.kubeedge"
author = "edgefl developers"
project_copyright = "edgefl developers, GPL-3.0-or-later"
html_title = "edgefl.kubeedge"

extensions = ["myst_parser", "sphinx_antsibull_ext"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
# Every heading of these depths can be linked to, as on GitHub
myst_heading_anchors = 3
# antsibull-docs writes names of Ansible as references without saying of which kind
default_role = "any"

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_use_index = False
highlight_language = "none"
pygments_style = "ansible"
pygments_dark_style = "github-dark"


def _page(target: str) -> str:
    """
    Where the site has what a link leads to that leaves docs/: the page of a role or of a module; else the file in the repository.

    :param target: path relative to docs/, such as ../roles/docker/README.md
    """
    path, _dummy, anchor = target.partition("#")
    file = (ROOT / "docs" / path).resolve()
    if not file.exists():
        logging.getLogger(__name__).warning(
            "a page links to %s, which the checkout does not have: correct the link", path
        )
    inside = file.relative_to(ROOT).as_posix()
    if found := re.fullmatch(r"roles/(\w+)(?:/README\.md)?", inside):
        return f"collection/{found[1]}_role.rst"
    if found := re.fullmatch(r"plugins/modules/(\w+)\.py", inside):
        return f"collection/{found[1]}_module.rst"
    return SOURCES + inside + (f"#{anchor}" if anchor else "")


def _lead_to_pages(_app: Any, document: str, text: list[str]) -> None:
    """Links in Markdown are right where GitHub shows them; on the site those to roles and modules lead to their pages."""
    if not document.startswith("collection/"):
        text[0] = re.sub(r"(?<=\]\()\.\./[^)\s]+", lambda link: _page(link[0]), text[0])


def _shape_reference(_app: Any, document: str, text: list[str]) -> None:
    """Pages of antsibull-docs without the contents that the theme shows beside each page, and with short names in the list of pages."""
    if document.startswith("collection/"):
        text[0] = re.sub(r"^\.\. contents::\n(?: +:.*\n)*", "", text[0], flags=re.MULTILINE)
    if document == "collection/index":
        text[0] = re.sub(
            r"^    (\w+)_(?:module|role|callback|inventory)$", r"    \1 <\g<0>>", text[0], flags=re.MULTILINE
        )
        text[0] = re.sub(r" <    ", " <", text[0]).replace("Edgefl.Kubeedge\n", "edgefl.kubeedge\n")


def _lead_to_ansible(_app: Any, _env: Any, node: Any, inside: Any) -> Any:
    """A reference to a label of Ansible's documentation."""
    page = ANSIBLE_PAGES.get(node.get("reftarget", ""))
    if not page:
        return None
    # A label without a title of its own stands there as it is
    words = nodes.Text(inside.astext().replace("_", " "))
    return nodes.reference("", "", words, refuri=ANSIBLE + page, internal=False)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _lead_to_pages)
    app.connect("source-read", _shape_reference)
    app.connect("missing-reference", _lead_to_ansible)
