"""
A plugin of pytest (`-p support.first_case`): of a test with many cases the first. Where another Python or Ansible is the question, each case has the
same answer.
"""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects the others."""
    seen: set[str] = set()
    others = []
    for item in items:
        name = item.nodeid.partition("[")[0]
        if name in seen:
            others.append(item)
        seen.add(name)
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]
