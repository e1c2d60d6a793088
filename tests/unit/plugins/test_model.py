"""The model of a run: what is read on the cloud node of a folder that an app wrote, and what becomes of it on the controller."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.loader import connection_loader

from ansible_collections.edgefl.kubeedge.plugins.action.model_fetch import ActionModule
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import model
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _model

ROOM = 1_000_000
ABOUT: dict[str, Any] = {
    "app": "means", "run": "one", "loop": 1, "round": 3, "accuracy": None, "file": "model.npz",
    "arrays": [{"name": "0", "shape": [4], "dtype": "float32"}],
}  # fmt: skip


def run_of(state: Path, name: str = "one", npz: bytes = b"arrays", **about: Any) -> Path:
    """A run's folder, as the aggregator leaves it."""
    folder = state / name
    (folder / "model").mkdir(parents=True)
    (folder / "work/plots").mkdir(parents=True)
    (folder / "rounds.jsonl").write_text("{}\n")
    (folder / "model/model.npz").write_bytes(npz)
    text = json.dumps(ABOUT | {"run": name, "sha256": hashlib.sha256(npz).hexdigest()} | about)
    (folder / "model/model.json").write_text(text)
    (folder / "work/final_model.pt").write_bytes(b"weights")
    (folder / "work/plots/a.csv").write_text("1\n")
    return folder


# -- on the cloud node -------------------------------------------------------------------------------------------------


def test_a_run_is_found(tmp_path: Path) -> None:
    with pytest.raises(EdgeflError, match="There is no run in"):
        model.find_run(tmp_path / "none", "")
    for age, name in enumerate(("b", "a"), 1):
        os.utime(run_of(tmp_path, name) / "rounds.jsonl", (age, age))
    (tmp_path / "no_run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert model.find_run(tmp_path, "") == "a" and model.find_run(tmp_path, "b") == "b"
    with pytest.raises(EdgeflError, match=r"There is no run c in .*: there are b, a \(edgefl_run\)"):
        model.find_run(tmp_path, "c")
    with pytest.raises(EdgeflError, match="is no name of a run"):
        model.find_run(tmp_path, "../b")


def test_files_of_a_run(tmp_path: Path) -> None:
    run_of(tmp_path)
    found = model.listed(tmp_path, "one", ROOM)
    assert found["about"] == ABOUT | {"sha256": hashlib.sha256(b"arrays").hexdigest()} and found["left_out"] == []
    assert [(file["path"], file["size"]) for file in found["files"]] == [
        ("model.npz", 6), ("work/final_model.pt", 7), ("work/plots/a.csv", 2),
    ]  # fmt: skip
    assert found["files"][0]["sha256"] == found["about"]["sha256"]


def test_what_an_app_leaves_to_trap_the_reader(tmp_path: Path) -> None:
    """Links, pipes, sockets and odd names are told and not read; nothing waits, nothing outside is seen."""
    secret = tmp_path / "secret"
    secret.write_text("root only")
    work = run_of(tmp_path / "state") / "work"
    shutil.rmtree(work / "plots")
    (work / "link").symlink_to(secret)
    (work / "up").symlink_to("/")
    os.mkfifo(work / "pipe")
    (work / ".hidden").write_text("x")
    (work / "line\nbreak\x1b[2J").write_text("x")
    deep = work
    for _depth in range(12):
        deep = deep / "d"
        deep.mkdir()
    (deep / "x").write_text("x")
    found = model.listed(tmp_path / "state", "one", ROOM)
    assert [file["path"] for file in found["files"]] == ["model.npz", "work/final_model.pt"]
    told = "\n".join(found["left_out"])
    assert all(name in told for name in ("work/link ", "work/up ", "work/pipe ", "work/.hidden "))
    assert "\x1b" not in told and len(found["left_out"]) == 6
    shutil.rmtree(work)
    work.symlink_to("/etc")
    with pytest.raises(EdgeflError, match="is not read as root"):
        model.listed(tmp_path / "state", "one", ROOM)


def test_arrays_that_are_a_link(tmp_path: Path) -> None:
    folder = run_of(tmp_path / "state")
    (folder / "model/model.npz").unlink()
    (folder / "model/model.npz").symlink_to("/etc/shadow")
    with pytest.raises(EdgeflError, match="is not read as root"):
        model.listed(tmp_path / "state", "one", ROOM)


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "{}", '{"arrays": 7}', '{"arrays": [{}]}'])
def test_a_damaged_description(tmp_path: Path, text: str) -> None:
    folder = run_of(tmp_path)
    (folder / "model/model.json").write_text(text)
    found = model.listed(tmp_path, "one", ROOM)
    assert found["about"] == {} and "model.json is damaged" in found["left_out"][0]
    assert "model.npz" not in [file["path"] for file in found["files"]]


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    run_of(tmp_path, npz=b"x" * 100)
    found = model.listed(tmp_path, "one", 103)
    assert [file["path"] for file in found["files"]] == ["model.npz", "work/plots/a.csv"]
    assert found["left_out"] == [
        "work/final_model.pt has 7e-06 MB, and all files together more than 0.000103 MB (results_model_mb)"
    ]
    found = model.listed(tmp_path, "one", 50)
    assert found["files"][0]["path"] == "work/final_model.pt" and found["left_out"][0].startswith("model.npz has ")


def test_tensors_beside_the_arrays(tmp_path: Path) -> None:
    """What PyTorch loads is fetched and put on edges, too; without the file nothing is said of it."""
    checksum = hashlib.sha256(b"tensors").hexdigest()
    told = {"file": "model.safetensors", "sha256": checksum}
    folder = run_of(
        tmp_path / "state", safetensors=told | {"more": 1}, arrays=[{"name": "w", "shape": [], "dtype": "f"}]
    )
    found = model.listed(tmp_path / "state", "one", ROOM)
    assert "safetensors" not in found["about"] and found["left_out"] == ["model.safetensors is not there"]
    (folder / "model/model.safetensors").write_bytes(b"tensors")
    first = fetch(tmp_path)
    there = tmp_path / "results/one/model"
    assert (there / "model.safetensors").read_bytes() == b"tensors" and first["about"]["safetensors"] == told
    assert first["text"][0].startswith(
        f'safetensors.torch.load_file("{there}/model.safetensors")  # PyTorch\'s state_dict'
    )
    assert not fetch(tmp_path)["changed"]
    assert _model.deployable(there)[1]["model.safetensors"] == checksum
    shutil.rmtree(folder)
    run_of(tmp_path / "state")
    fetch(tmp_path)
    assert not (there / "model.safetensors").exists()


# -- the client's image ------------------------------------------------------------------------------------------------

DOCKER = """
import io, json, sys, zipfile
assert sys.stdin.buffer.read() == b"arrays" and sys.argv[1:4] == ["run", "--interactive", "--rm"] and "--network=none" in sys.argv
open(__file__ + ".words", "w").write(json.dumps(sys.argv[sys.argv.index("edgefl.serve.export") + 1:]))
out = io.BytesIO()
with zipfile.ZipFile(out, "w") as archive:
    archive.writestr("about.json", json.dumps({"keras": {"variables": ["w\\x1b[2J"]}, "example": {"request": {"inputs": []}, "outputs": []}}))
    archive.writestr("model.keras", "keras")
EXTRA
sys.stdout.buffer.write(out.getvalue())
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program in the place of docker."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def put(extra: str) -> None:
        (folder / "docker").write_text(f"#!{sys.executable}\n{DOCKER.replace('EXTRA', extra)}")
        (folder / "docker").chmod(0o755)

    return put


def test_what_the_image_makes(tmp_path: Path, docker: Callable[[str], None]) -> None:
    run_of(tmp_path / "state")
    docker("")
    about, files = model.export(tmp_path / "state", "one", "image", "means", ROOM)
    assert set(files) == {"model.keras", "example.json"} and about["keras"]["variables"] == ["w\ufffd[2J"]
    assert (
        about["keras"]["sha256"] == hashlib.sha256(b"keras").hexdigest()
        and about["example"]["request"] == "example.json"
    )


@pytest.mark.parametrize(
    ("lines", "config"),
    [
        (
            '{"settings": {"config": {"features": 8, "name": "a b"}}}\n{"event": "round"}\n',
            {"features": 8, "name": "a b"},
        ),
        ('{"settings": {}}\n', None),
        ('{"settings": {"config": [1]}}\n', None),
        ("[1]\n", None),
        ("{", None),
    ],
)
def test_the_image_is_told_how_the_run_was_configured(
    tmp_path: Path, docker: Callable[[str], None], lines: str, config: dict[str, Any] | None
) -> None:
    (run_of(tmp_path / "state") / "rounds.jsonl").write_text(lines)
    docker("")
    model.export(tmp_path / "state", "one", "image", "means", ROOM)
    name, *given = json.loads((tmp_path / "bin/docker.words").read_text())
    assert name == "means" and [json.loads(text) for text in given] == ([config] if config else [])


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ("print('failed: no such layer', file=sys.stderr); sys.exit(1)", "^failed: no such layer$"),
        ("sys.exit(137)", "ended with 137"),
        ("out = io.BytesIO(b'no zip')", "can't be read"),
        ("zipfile.ZipFile(out, 'a').writestr('../../etc/passwd', 'x')", "it holds other files"),
        ("out = io.BytesIO(b'x' * 2_000_000)", r"more than 1 MB \(results_model_mb\)"),
        ("zipfile.ZipFile(out, 'a', zipfile.ZIP_DEFLATED).writestr('model.keras', '0' * 10_000_000)", "can't be read"),
    ],
)
def test_an_image_that_fails(tmp_path: Path, docker: Callable[[str], None], extra: str, told: str) -> None:
    run_of(tmp_path / "state")
    docker(extra)
    with pytest.raises(EdgeflError, match=told):
        model.export(tmp_path / "state", "one", "image", "means", ROOM)


# -- on the controller -------------------------------------------------------------------------------------------------


def fetch(tmp_path: Path, check_mode: bool = False, **options: Any) -> dict[str, Any]:
    """What the task returns, on this host in the place of the cloud node."""
    task = Task()
    task.args = {"state_dir": str(tmp_path / "state"), "dest": str(tmp_path / "results"), **options}
    task.check_mode, task.async_val, task.diff = check_mode, 0, False
    context = PlayContext()
    connection = connection_loader.get("local", context)
    action = ActionModule(task, connection, context, loader=None, templar=None, shared_loader_obj=None)

    def execute(module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        """As Ansible calls the module, whose own tests are on the lab."""
        state, most = Path(module_args["state_dir"]), ROOM
        try:
            run = model.find_run(state, module_args.get("run", ""))
            if "archive" not in module_args:
                return {"run": run, **model.listed(state, run, most)}
            made, files = model.export(state, run, "image", "means", most) if module_args["make"] else ({}, {})
            with open(module_args["archive"], "wb") as archive:
                model.pack(archive, state, run, module_args["want"], files)
        except EdgeflError as error:
            return {"failed": True, "msg": error.message}
        return {"run": run, "made": made, "problem": ""}

    action._execute_module = execute
    remote = tmp_path / "remote"

    def make() -> str:
        remote.mkdir()
        return str(remote)

    action._make_tmp_path = make
    action._remove_tmp_path = shutil.rmtree
    found: dict[str, Any] = action.run(task_vars={})
    assert not remote.exists()
    return found


def test_a_model_is_fetched_once(tmp_path: Path, docker: Callable[[str], None]) -> None:
    docker("")
    folder = run_of(tmp_path / "state")
    there = tmp_path / "results/one/model"
    checked = fetch(tmp_path, check_mode=True, image="image", app="means")
    assert checked["changed"] and "model.keras" in checked["fetched"] and not there.exists()
    first = fetch(tmp_path, image="image", app="means")
    assert first["changed"] and first["path"] == str(there)
    assert {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()} == {
        "model.npz", "model.json", "model.keras", "example.json", "work/final_model.pt", "work/plots/a.csv",
    }  # fmt: skip
    about = json.loads((there / "model.json").read_text())
    assert about == first["about"] and about["work"] == ["work/final_model.pt", "work/plots/a.csv"]
    assert first["text"][0].startswith(f'keras.models.load_model("{there}/model.keras")')
    docker("raise SystemExit('it is not called again')")
    for again in (fetch(tmp_path, image="image", app="means"), fetch(tmp_path), fetch(tmp_path, check_mode=True)):
        assert not again["changed"] and again["fetched"] == [] and again["about"] == about
    # One file that differs is the one that is transferred
    (there / "work/plots/a.csv").write_text("2\n")
    assert fetch(tmp_path)["fetched"] == ["work/plots/a.csv"] and (there / "work/plots/a.csv").read_text() == "1\n"
    # Another model under the same name: what was made of the old one goes
    shutil.rmtree(folder)
    run_of(tmp_path / "state", npz=b"others")
    assert fetch(tmp_path)["fetched"] == ["model.npz"]
    assert not (there / "model.keras").exists() and "keras" not in json.loads((there / "model.json").read_text())


def test_a_model_of_another_app_is_not_made(tmp_path: Path, docker: Callable[[str], None]) -> None:
    docker("raise SystemExit('it is not called')")
    run_of(tmp_path / "state")
    found = fetch(tmp_path, image="image", app="fashion_mnist")
    assert found["changed"] and "the run's app is means" in found["left_out"][0]
    assert not fetch(tmp_path, image="image", app="fashion_mnist")["changed"]


def test_an_unknown_run_is_told(tmp_path: Path) -> None:
    run_of(tmp_path / "state")
    assert "there are one" in fetch(tmp_path, run="two")["msg"]


def archive(tmp_path: Path, **files: bytes) -> Path:
    path = tmp_path / "model.tar"
    with tarfile.open(path, "w") as packed:
        for name, data in files.items():
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    return path


def test_what_the_cloud_node_sends_instead(tmp_path: Path) -> None:
    """A node that was taken over: nothing that was not asked for is written, nothing that differs stays."""
    sums = {"model.npz": hashlib.sha256(b"arrays").hexdigest()}
    for files, told in (
        ({"model.npz": b"forged"}, "changed while"),
        ({"..__..__etc": b"x"}, "nobody asked for"),
        ({}, "did not send model.npz"),
    ):
        with pytest.raises(EdgeflError, match=told):
            _model.unpack(archive(tmp_path, **files), tmp_path / "to", sums)
        assert not [path for path in (tmp_path / "to").rglob("*") if path.is_file()]
    for path in ("../x", "/etc/passwd", "work/../../x", "model.json", "work/.ssh"):
        with pytest.raises(EdgeflError, match="is no path of a file"):
            _model.lacking(tmp_path, [{"path": path, "sha256": ""}])
