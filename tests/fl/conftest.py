"""These tests need Flower, TensorFlow and Fashion-MNIST: fl_src/requirements-client.txt, and EDGEFL_DATA_DIR naming the
folder that `fl_src/image/unpack_data.sh FOLDER` filled. They never skip: without these they fail and say so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fl.processes import Federation


@pytest.fixture(scope="session", autouse=True)
def data() -> None:
    folder = Path(os.environ.get("EDGEFL_DATA_DIR", "/opt/edgefl/data"))
    if not (folder / "train-images-idx3-ubyte").exists():
        pytest.fail(
            f"{folder} has no Fashion-MNIST: run fl_src/image/unpack_data.sh FOLDER and set EDGEFL_DATA_DIR=FOLDER",
            pytrace=False,
        )


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    made = Federation(tmp_path)
    yield made
    made.close()
