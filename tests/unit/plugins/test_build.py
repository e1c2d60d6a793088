"""Names of images by their content, and what a build does with them; Docker itself is there in Molecule's scenarios of the role."""

from __future__ import annotations

import base64
import io
import json
import socket
import tarfile
import time
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from unit.plugins.docker_api import DockerApi

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.job import Job
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.build import Build, Builder, Recipe
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.build_job import call, context

BASE = "debian:1"
DOCKER = """#!/bin/sh
echo "$@" >>{log}
case "$1 $2 $3 $*" in
  "run --rm --network=none "*--entrypoint=true*) [ ! -e {log}.foreign ] || {{ echo "exec /usr/bin/true: exec format error" >&2; exit 1; }}; exit ;;
esac
case "$1 $2" in
  "version "*) echo 20.10.24 ;;
  "build --target=client") cat >{log}.context; [ ! -e {log}.broken ] || {{ echo "line 7: no such file"; exit 1; }} ;;
  "run --rm")
    [ ! -e {log}.runc ] || {{ printf "docker: Error: no runc.\\n\\nRun 'docker run --help' for more information\\n"; exit 125; }}
    [ ! -e {log}.app ] || {{ echo "model.py line 3: no layers"; exit 1; }} ;;
esac
"""


class Docker:
    """Stands for a host's Docker: images by name, and a log of what was called."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, api: DockerApi) -> None:
        self.images = api.images
        self.images[BASE] = "sha256:base"
        self.log = folder / "log"
        self.log.touch()
        program = folder / "bin/docker"
        program.parent.mkdir()
        program.write_text(DOCKER.format(log=self.log))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: DockerApi) -> Docker:
    return Docker(tmp_path, monkeypatch, api)


def builder(docker: Docker, tmp_path: Path, sources: str = "0123") -> Builder:
    recipe = Recipe("team/model", "v1", BASE, sources, {"GREETING": "good day"}, app="flowers")
    return Builder(recipe, str(tmp_path / "tried"))


# Names -----------------------------------------------------------------------------------------------------------------


def test_the_tag_changes_with_sources_base_and_arguments() -> None:
    one = Recipe("team/model", "v1", BASE, "0123", {"A": "1"})
    tags = {
        one.tag("sha256:base"),
        one.tag("sha256:other"),
        Recipe("team/model", "v1", BASE, "4567", {"A": "1"}).tag("sha256:base"),
        Recipe("team/model", "v1", BASE, "0123", {"A": "2"}).tag("sha256:base"),
    }
    assert len(tags) == 4
    assert one.tag("sha256:base") == Recipe("other/name", "v1", "same:base", "0123", {"A": "1"}).tag("sha256:base")


def test_what_is_missing_and_what_lacks_the_plain_tag(docker: Docker, tmp_path: Path) -> None:
    made = builder(docker, tmp_path)
    tag = made.tag()
    assert made.snapshot(tag).missing == ["aggregator", "client"]
    docker.images.update({f"team/model-client:{tag}": "sha256:2", "team/model-client:v1": "sha256:1"})
    snapshot = made.snapshot(tag)
    assert (snapshot.missing, snapshot.untagged, snapshot.untried) == (["aggregator"], ["client"], True)
    made.give_plain_tag(tag, snapshot.untagged)
    assert docker.images["team/model-client:v1"] == "sha256:2"
    assert made.snapshot(tag).untagged == []
    assert (tmp_path / "tried/newest-team_model-v1").read_text() == tag


def test_a_base_image_that_is_not_there(docker: Docker, tmp_path: Path) -> None:
    docker.images.clear()
    made = builder(docker, tmp_path)
    assert call(made, OPTIONS, check_mode=False)["wants_base"]
    found = call(made, OPTIONS, check_mode=True)
    assert found["tag"].startswith("v1-")
    assert (found["missing"], found["wants_base"]) == (["aggregator", "client"], False)


# Builds ----------------------------------------------------------------------------------------------------------------


def build(docker: Docker, tmp_path: Path) -> Build:
    made = builder(docker, tmp_path)
    return Build(made, made.snapshot(made.tag()), b"sources", "cloud")


def test_both_are_built_and_tried_once(docker: Docker, tmp_path: Path) -> None:
    work_ = build(docker, tmp_path)
    work_.run()
    tag = builder(docker, tmp_path).tag()
    calls = docker.log.read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["version", "build", "build", "run", "run"]
    assert (
        f"--target=client --tag=team/model-client:{tag} --build-arg=BASE_IMAGE={BASE} --build-arg=GREETING=good day -"
        in calls[2]
    )
    check = "--signal=KILL 600 python3 -m edgefl.common.check_app flowers"
    assert calls[3].endswith(f"team/model-aggregator:{tag} {check} serverapp")
    assert calls[4].endswith(f"team/model-client:{tag} {check} clientapp")
    assert Path(f"{docker.log}.context").read_bytes() == b"sources"
    assert not builder(docker, tmp_path).snapshot(tag).untried
    assert work_.progress() == {"stage": "tries", "line": ""}


def test_of_a_flower_app_each_component_is_imported_in_its_own_image(docker: Docker, tmp_path: Path) -> None:
    made = builder(docker, tmp_path)
    made.recipe = replace(made.recipe, app="/opt/edgefl/flower/seeing", stages="flower_")
    tag = made.tag()
    Build(made, made.snapshot(tag), b"sources", "cloud").run()
    calls = docker.log.read_text().splitlines()
    assert f"--target=flower_client --tag=team/model-client:{tag} " in calls[2]
    check = "--signal=KILL 600 python3 -m edgefl.common.check_app /opt/edgefl/flower/seeing"
    assert calls[3].endswith(f"team/model-aggregator:{tag} {check} serverapp")
    assert calls[4].endswith(f"team/model-client:{tag} {check} clientapp")
    assert made.note(tag).exists() and made.note(tag).name == f"{tag}-seeing"


def for_arm64(docker: Docker, tmp_path: Path) -> Builder:
    """As `builder`, with an edge of another architecture; Docker has the empty image once that was loaded."""
    made = builder(docker, tmp_path)
    made.recipe = replace(made.recipe, architectures={"arm64": {"CLIENT_LOCK": "flower/client-arm64.txt"}})
    docker.images["team/model-platform:arm64"] = "sha256:empty"
    return made


def test_another_architecture_has_an_image_of_its_own(docker: Docker, tmp_path: Path, api: DockerApi) -> None:
    made, own = for_arm64(docker, tmp_path), builder(docker, tmp_path)
    tag = made.tag()
    assert tag != own.tag() and own.snapshot(tag).missing == ["aggregator", "client"]
    assert made.snapshot(tag).missing == ["aggregator", "client", "client-arm64"]
    work_ = Build(made, made.snapshot(tag), b"sources", "cloud")
    # Docker closes it while the others are built
    made._docker.engine.connection.sock.shutdown(socket.SHUT_RDWR)
    work_.run()
    calls = docker.log.read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["version", "build", "build", "build", "run", "run", "run", "run"]
    assert "ARCHITECTURE" not in calls[2] and f"--tag=team/model-client:{tag} " in calls[2]
    assert f"--target=client --tag=team/model-client-arm64:{tag} --build-arg=BASE_IMAGE={BASE} " in calls[3]
    more = (
        "ARCHITECTURE=arm64",
        "MACHINE=aarch64",
        "PLATFORM=linux/arm64",
        "PLATFORM_IMAGE=team/model-platform:arm64",
        "ROOT=/foreign",
    )
    assert all(f" --build-arg={each} " in calls[3] for each in (*more, "CLIENT_LOCK=flower/client-arm64.txt"))
    # Proven by what it says of itself, whatever Docker thinks of it
    (archive,) = api.loaded
    with tarfile.open(fileobj=io.BytesIO(archive)) as content:
        (about,) = json.load(content.extractfile("manifest.json") or io.BytesIO())
        config = json.load(content.extractfile(about["Config"]) or io.BytesIO())
    assert (config["architecture"], about["RepoTags"], about["Layers"]) == ("arm64", ["team/model-platform:arm64"], [])
    assert calls[7].endswith(
        f"team/model-client-arm64:{tag} --signal=KILL 3600 python3 -m edgefl.common.check_app flowers clientapp"
    )
    assert "--platform=linux/arm64" in calls[7] and "--platform" not in calls[5]
    assert not made.snapshot(tag).untried and made.untried(tag) == []


def test_a_host_that_runs_no_programs_of_the_architecture_says_so(docker: Docker, tmp_path: Path) -> None:
    Path(f"{docker.log}.foreign").touch()
    made = for_arm64(docker, tmp_path)
    tag = made.tag()
    Build(made, made.snapshot(tag), b"sources", "cloud").run()
    calls = [call.split()[0] for call in docker.log.read_text().splitlines()]
    assert calls == ["version", "build", "build", "build", "run", "run", "run"]
    # It is said again by each run, as nothing has changed
    assert made.untried(tag) == ["arm64"] and not made.snapshot(tag).untried
    docker.images.update(
        {f"team/model-{image}:{name}": "sha256:1" for image in made.recipe.images for name in (tag, "v1")}
    )
    found = call(made, OPTIONS, check_mode=False)
    assert (found["changed"], found["missing"], found["untried"]) == (False, [], ["arm64"])


def test_without_another_architecture_names_are_as_before() -> None:
    one = Recipe("team/model", "v1", BASE, "0123", {"A": "1"})
    assert one.tag("sha256:base") == replace(one, architectures={}).tag("sha256:base") and list(one.images) == [
        "aggregator",
        "client",
    ]
    given: list[dict[str, dict[str, str]]] = [{}, {"arm64": {}}, {"arm64": {"CLIENT_FRAMEWORK": "plain"}}]
    tags = {replace(one, architectures=more).tag("b") for more in given}
    assert len(tags) == 3


def test_a_build_that_fails_says_why(docker: Docker, tmp_path: Path) -> None:
    Path(f"{docker.log}.broken").touch()
    with pytest.raises(EdgeflError, match=r"(?s)team/model-client:v1-.*on cloud.*line 7: no such file.*edgefl_source"):
        build(docker, tmp_path).run()
    assert "team/model-client:v1" not in docker.images


def test_an_app_that_fails_says_why_and_is_tried_again(docker: Docker, tmp_path: Path) -> None:
    Path(f"{docker.log}.app").touch()
    with pytest.raises(EdgeflError, match=r"flowers does not work in the image.*model.py line 3: no layers"):
        build(docker, tmp_path).run()
    made = builder(docker, tmp_path)
    assert made.snapshot(made.tag()).untried
    assert "team/model-client:v1" not in docker.images


def test_an_image_that_docker_cannot_run_is_not_the_apps_fault(docker: Docker, tmp_path: Path) -> None:
    Path(f"{docker.log}.runc").touch()
    with pytest.raises(
        EdgeflError, match=r"^Docker on cloud cannot run .*nothing is deployed: docker: Error: no runc\.\. See"
    ):
        build(docker, tmp_path).run()


# The module's calls ----------------------------------------------------------------------------------------------------

OPTIONS = {
    "tag": "",
    "sources": "0123",
    "base_image": BASE,
    "context": None,
    "packed": "",
    "wait": "none",
    "linger": 5.0,
}


def test_sources_are_wanted_only_when_something_is_missing(docker: Docker, tmp_path: Path) -> None:
    made = builder(docker, tmp_path)
    found = call(made, OPTIONS, check_mode=False)
    assert found["wants_context"]
    assert found["missing"] == ["aggregator", "client"]
    tag = found["tag"]
    assert "wants_context" not in call(made, OPTIONS, check_mode=True)
    made.note(tag).parent.mkdir()
    made.note(tag).touch()
    for target in ("aggregator", "client"):
        docker.images.update({f"team/model-{target}:{tag}": "sha256:1", f"team/model-{target}:v1": "sha256:1"})
    assert call(made, OPTIONS, check_mode=False) == {
        "tag": tag,
        "missing": [],
        "changed": False,
        "running": False,
        "wants_base": False,
        "untried": [],
    }


def test_the_archive_of_the_sources_comes_either_way(tmp_path: Path) -> None:
    archive = tmp_path / "context.tar"
    archive.write_bytes(b"large")
    assert context({"context": str(archive), "packed": ""}) == b"large"
    assert context({"context": None, "packed": base64.b64encode(zlib.compress(b"small")).decode()}) == b"small"
    assert context({"context": None, "packed": ""}) == b""


def test_who_waits_for_what_was_never_begun_is_told(docker: Docker, tmp_path: Path) -> None:
    with pytest.raises(EdgeflError, match="neither built nor being built"):
        call(builder(docker, tmp_path), {**OPTIONS, "tag": "v1-0", "sources": "", "wait": "built"}, check_mode=False)


def test_one_of_source_and_tag_is_needed(docker: Docker, tmp_path: Path) -> None:
    with pytest.raises(EdgeflError, match="Give source and base_image"):
        call(builder(docker, tmp_path), {**OPTIONS, "sources": ""}, check_mode=False)


@pytest.fixture
def begun(docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Options with which the work that was just begun is followed."""
    monkeypatch.setattr(
        "ansible_collections.edgefl.kubeedge.plugins.module_utils._images.build_job.JOBS", str(tmp_path / "jobs")
    )
    context = tmp_path / "context.tar"
    context.write_bytes(b"sources")
    found = call(builder(docker, tmp_path), {**OPTIONS, "context": str(context)}, check_mode=False)
    assert found["changed"]
    # As Docker has them afterwards
    docker.images.update({f"team/model-{target}:{found['tag']}": "sha256:1" for target in ("aggregator", "client")})
    return {**OPTIONS, "tag": found["tag"], "sources": "", "wait": "tried"}


def test_begun_then_tried(docker: Docker, tmp_path: Path, begun: dict[str, object]) -> None:
    made = builder(docker, tmp_path)
    assert call(made, begun, check_mode=True) == {
        "tag": begun["tag"],
        "missing": [],
        "changed": True,
        "running": False,
        "wants_base": False,
    }
    assert not call(made, begun, check_mode=False)["running"]
    assert made.note(str(begun["tag"])).exists()
    assert docker.images["team/model-client:v1"] == "sha256:1"


def test_the_plain_tag_is_for_images_in_which_the_app_works(
    docker: Docker, tmp_path: Path, begun: dict[str, object]
) -> None:
    made = builder(docker, tmp_path)
    assert not call(made, begun, check_mode=False)["running"]
    made.note(str(begun["tag"])).unlink()
    for target in ("aggregator", "client"):
        del docker.images[f"team/model-{target}:v1"]
    Path(f"{docker.log}.app").touch()
    with pytest.raises(EdgeflError, match="no layers"):
        call(made, {**OPTIONS, "wait": "tried"}, check_mode=False)
    assert "team/model-client:v1" not in docker.images


def test_what_an_earlier_run_left_is_not_taken_for_this_one(
    docker: Docker, tmp_path: Path, begun: dict[str, object]
) -> None:
    made = builder(docker, tmp_path)
    job = Job(str(tmp_path / "jobs" / made.recipe.job(str(begun["tag"]))), "builds the images", 60)
    while not job.ended():
        time.sleep(0.05)
    assert made.note(str(begun["tag"])).exists()
    assert call(made, OPTIONS, check_mode=False) == {
        "tag": begun["tag"],
        "missing": [],
        "changed": True,
        "running": False,
        "wants_base": False,
        "untried": [],
    }
    assert docker.images["team/model-aggregator:v1"] == "sha256:1"
