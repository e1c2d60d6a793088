"""Apps as a user writes them, in a copy of the package, and what `edgefl.common.check_app` says of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.processes import PYTHON, ROOT, SOURCE, measured

DOCUMENT = (ROOT / "docs" / "your-app.md").read_text()


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The app of docs/your-app.md, in a package that has links to all else of ours, as coverage measures no copy."""
    for name in ("edgefl", "edgefl/apps"):
        (tmp_path / name).mkdir()
        for path in (SOURCE / name).iterdir():
            if path.name not in ("apps", "__pycache__"):
                (tmp_path / name / path.name).symlink_to(path)
    folder = tmp_path / "edgefl" / "apps" / "footwear"
    (folder / "footwear").mkdir(parents=True)
    for name, text in re.findall(
        r"`fl_src/edgefl/apps/footwear/([\w/]+\.(?:py|toml))`.*?```(?:python|toml)\n(.*?)```", DOCUMENT, re.DOTALL
    ):
        (folder / name).write_text(text)
    package = folder / "footwear"
    assert sorted(path.name for path in package.iterdir()) == ["app.py", "data.py", "model.py"]
    return package


Check = Callable[[Path], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def check() -> Iterator[Check]:
    """Tries an app: each in a process of its own, of which all have the framework from one."""
    variables = measured(os.environ | {"PYTHONPATH": str(ROOT / "tests")})
    words = [PYTHON, "-m", "support.checks"]
    with subprocess.Popen(words, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        asks, tells = program.stdin, program.stdout
        assert asks and tells

        def tried(app: Path) -> subprocess.CompletedProcess[str]:
            asks.write(json.dumps({"path": str(app.parents[3]), "app": app.name}) + "\n")
            asks.flush()
            said = json.loads(tells.readline())
            return subprocess.CompletedProcess(["check_app"], said["code"], said["stdout"], said["stderr"])

        yield tried
        asks.close()


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_app_of_the_documentation_works(check: Check, app: Path) -> None:
    said = check(app)
    message = re.search(r"^app footwear works.*$", DOCUMENT, re.MULTILINE)
    assert message and said.returncode == 0, said.stderr
    assert said.stdout.strip() == message[0]


def test_a_broken_model_is_named_with_its_line(check: Check, app: Path) -> None:
    """The mistake and the message that the documentation shows."""
    replace(app / "model.py", 'Dense(2, "softmax")', 'Dens(2, "softmax")')
    said = check(app)
    message = re.search(r"^failed: app footwear: …/fl_src(.*)$", DOCUMENT, re.MULTILINE)
    assert message and said.returncode == 1
    assert said.stderr.strip().endswith(message[1])


def test_labels_beyond_the_outputs_are_named(check: Check, app: Path) -> None:
    replace(app / "data.py", "np.isin(labels, (5, 7, 9)).astype(np.uint8)", "labels")
    said = check(app)
    assert said.returncode == 1
    assert "app footwear: labels go up to 9, but the model has 2 outputs; it needs 10" in said.stderr


def test_an_evaluation_that_is_not_the_model_s_is_named(check: Check, app: Path) -> None:
    with (app / "model.py").open("a") as file:
        file.write("\n\ndef evaluate(weights, inputs, labels):\n    return 0.5, 0.5\n")
    said = check(app)
    assert said.returncode == 1
    assert "evaluate() gives loss 0.5000, accuracy 0.5000; the model of build() has" in said.stderr


def test_the_app_of_the_demonstration_works(check: Check) -> None:
    """It has the functions that an app may leave out."""
    said = check(SOURCE / "edgefl/apps/fashion_mnist/fashion_mnist")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("app fashion_mnist works: ") and said.stdout.strip().endswith("by the aggregator")


WEIGHTS = "\n\ndef initial_weights(seed):\n    import numpy as np\n\n    return [np.zeros((784, 3), np.float32), np.zeros(3, np.float32)]\n"


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("data.py", '(f"{name}-images-idx3-ubyte")[', '(f"{name}-images-idx3-ubyte")[..., : len(name) * 4][', "they must be alike"),
        ("data.py", ".astype(np.uint8)", ".astype(np.int8) - 1", "class numbers from 0 are needed"),
        ("model.py", "Rescaling(1 / 255)", 'Rescaling(float("nan"))', "the loss is not finite"),
        ("model.py", "    return model\n", f"    return model\n{WEIGHTS}", "initial_weights() gives shapes [(784, 3), (3,)]"),
    ],
)  # fmt: skip
def test_what_would_fail_in_the_pods_is_told(check: Check, app: Path, name: str, old: str, new: str, told: str) -> None:
    replace(app / name, old, new)
    said = check(app)
    assert said.returncode == 1 and told in said.stderr
