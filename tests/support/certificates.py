"""Certificates as the role makes them, in folders as a TLS Secret is mounted."""

from __future__ import annotations

import datetime
from pathlib import Path

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.certificates import Authority, Wanted


def issued(folder: Path, wanted: list[Wanted]) -> dict[str, Path]:
    """Made now; the folder of each, by its name, with ca.crt, tls.crt and tls.key."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    Authority(str(folder), 365, 30, now).ensure(wanted, check_mode=False)
    for one in wanted:
        (folder / one.name / "ca.crt").write_bytes((folder / "ca.crt").read_bytes())
    return {one.name: folder / one.name for one in wanted}
