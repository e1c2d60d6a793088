"""What is deployed for a training: names, edges, clients, what goes, certificates."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.build import Recipe
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _deployment as deployment

DEFAULTS: dict[str, Any] = {
    "edgefl_replicas": 1,
    "edgefl_kind": "Deployment",
    "edgefl_runtime": "auto",
    "edgefl_architecture": "auto",
    "edgefl_client_resources": {},
    "edgefl_autoscale": "none",
    "edgefl_data": "",
    "edgefl_node_config": {},
}
NODES = {name: {"client_resources": {"requests": {"cpu": "500m"}}} for name in ("edge1", "edge2")}
TRAINING = {"edgefl_app": "fashion_mnist", "edgefl_epochs": 1, "edgefl_rounds": 5}
COMMON = {"server_address": "192.0.2.10:8888", "tls_dir": "/tls"}
NAMES = deployment.object_names("fashion_mnist")
IMAGES = {"aggregator": "aggregator:1", "client": "client:1"}


def edges(variables: dict[str, dict[str, Any]] | None = None, **more: Any) -> list[dict[str, Any]]:
    variables = variables or {"edge1": {}, "edge2": {}}
    return deployment.edges(list(variables), variables, "fashion_mnist", 60_000, DEFAULTS | more)


def clients(
    rows: list[dict[str, Any]], fingerprints: dict[str, str] | None = None, **training: Any
) -> list[dict[str, Any]]:
    return deployment.clients(rows, TRAINING | training, IMAGES["client"], NODES, COMMON, fingerprints or {})


def training(*workloads: tuple[str, str, str], aggregator: str = "fashion-mnist") -> dict[str, Any]:
    return {
        "aggregator": aggregator,
        "failed_pods": [],
        "broken_pods": [],
        "regions": [],
        "clients": [{"kind": kind, "name": name, "settings": settings} for kind, name, settings in workloads],
    }


def retired(
    there: dict[str, Any],
    rows: list[dict[str, Any]],
    fresh: bool = False,
    policy: str = "ingress",
    begins: bool = True,
) -> list[str]:
    return deployment.retired(there, rows, NAMES, begins, fresh, policy)


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("fashion_mnist",), "fashion-mnist"),
        (("footwear", "client", "edge1.example.org"), "footwear-client-edge1-example-org"),
        (("_My__App",), "my-app"),
    ],
)
def test_object_name(parts: tuple[str, ...], name: str) -> None:
    assert deployment.object_name(*parts) == name


def test_long_names_stay_apart_and_fit() -> None:
    names = [deployment.object_name("app", "client", "x" * 80 + end) for end in "ab"]
    assert names[0] != names[1]
    assert {len(name) for name in names} == {deployment.LONGEST}


def test_data_is_shared_out_evenly() -> None:
    variables: dict[str, dict[str, Any]] = {f"e{number}": {} for number in range(7)}
    rows = deployment.edges(list(variables), variables, "app", 60_000, DEFAULTS)
    assert [row["slice_start"] for row in rows[1:]] == [row["slice_stop"] for row in rows[:-1]]
    assert (rows[0]["slice_start"], rows[-1]["slice_stop"]) == (0, 60_000)


def test_an_edge_s_own_values_win() -> None:
    own = {
        "edgefl_node_name": "node1",
        "edgefl_slice_start": "10",
        "edgefl_slice_stop": 20,
        "edgefl_replicas": 3,
        "edgefl_epochs": 2,
        "edgefl_kind": None,
    }
    (row,) = edges({"host1": own})
    assert (row["host"], row["node"], row["name"]) == ("host1", "node1", "fashion-mnist-client-node1")
    assert (row["slice_start"], row["slice_stop"], row["replicas"], row["kind"]) == (10, 20, 3, "Deployment")
    assert row["training"] == {"edgefl_epochs": 2}


def test_what_is_no_number_is_left_for_preflight() -> None:
    assert edges({"edge1": {"edgefl_slice_start": "first"}})[0]["slice_start"] == "first"


def test_arguments_of_a_client() -> None:
    (row,) = clients(edges({"edge1": {"edgefl_epochs": 2, "edgefl_slice_start": 0, "edgefl_slice_stop": 9}}))
    assert {
        "--node=edge1",
        "--partition=0",
        "--clients=9",
        "--epochs=2",
        "--server_address=192.0.2.10:8888",
        "--tls_dir=/tls",
        f"--settings={row['settings']}",
    } <= set(row["arguments"])
    assert row["resources"] == NODES["edge1"]["client_resources"]


def test_images_that_differ_in_the_app_alone_have_the_beginning_of_the_tag_in_common() -> None:
    tags = [Recipe("m", "v1", "base", sources, engine="e").tag("b") for sources in ("0123", "4567")]
    assert tags[0] != tags[1] and len({deployment.engine(f"m-client:{tag}") for tag in tags}) == 1
    other = Recipe("m", "v1", "base", "0123", engine="f").tag("b")
    assert (
        deployment.engine(f"m-client:{other}") != deployment.engine(f"m-client:{tags[0]}")
        and deployment.engine("m:v1-0123456789ab") == "m:v1-0123456789ab"
    )


MIXED: dict[str, dict[str, Any]] = {
    "cloud": {"arch": "amd64"},
    "edge1": {"arch": "amd64", **NODES["edge1"]},
    "edge2": {"arch": "arm64", **NODES["edge2"]},
}


def test_each_edge_has_the_image_of_its_architecture() -> None:
    tag = f"v1-{'e' * 12}-{'1' * 12}"
    image, other = f"client:{tag}", f"client-arm64:{tag}"

    def images(variables: dict[str, dict[str, Any]], *there: str) -> list[str]:
        rows = edges(variables)
        deployed = [{"name": row["name"], "image": name} for row, name in zip(rows, there)]
        return [row["image"] for row in deployment.clients(rows, TRAINING, image, MIXED, COMMON, {}, deployed, "cloud")]

    assert images({"edge1": {}, "edge2": {}}) == [image, other]
    assert images({"edge1": {"edgefl_architecture": "arm64"}, "edge2": {"edgefl_architecture": "amd64"}}) == [
        other,
        image,
    ]
    # A pod stays for another app, and goes for another architecture
    older, foreign = image.replace("1" * 12, "2" * 12), other.replace("1" * 12, "2" * 12)
    assert images({"edge1": {}, "edge2": {}}, older, foreign) == [older, foreign]
    assert images({"edge1": {}, "edge2": {}}, foreign, older) == [image, other]


def test_architectures_that_images_are_built_for() -> None:
    variables: dict[str, dict[str, Any]] = {
        "hq": {"edgefl_node_name": "cloud", "edgefl_cluster": {"nodes": MIXED}},
        "one": {"edgefl_node_name": "edge1"},
        "edge2": {},
        "edge3": {"edgefl_architecture": "auto"},
    }
    hosts = ["one", "edge2", "edge3"]
    found = deployment.architectures(hosts, variables, "hq")
    assert found == {
        "machine": "x86_64",
        "edges": {"one": "amd64", "edge2": "arm64", "edge3": ""},
        "others": {"arm64": "aarch64"},
    }
    variables["one"]["edgefl_architecture"] = "arm64"
    variables["edge2"]["edgefl_architecture"] = "amd64"
    assert deployment.architectures(hosts, variables, "hq")["others"] == {"arm64": "aarch64"}
    # A cloud node of the other one, and a cluster that nobody has asked yet
    swapped = {**variables, "hq": {"edgefl_cluster": {"nodes": {**MIXED, "hq": {"arch": "arm64"}}}}}
    found = deployment.architectures(hosts, swapped, "hq")
    assert (found["machine"], found["others"]) == ("aarch64", {"amd64": "x86_64"})
    assert deployment.architectures(hosts, {**variables, "hq": {}}, "hq") == {
        "machine": "x86_64",
        "edges": {},
        "others": {},
    }


def test_an_unknown_architecture_is_preflight_s_to_tell() -> None:
    nodes = {**MIXED, "edge2": {"arch": "riscv64"}}
    variables: dict[str, dict[str, Any]] = {"cloud": {"edgefl_cluster": {"nodes": nodes}}, "edge1": {}, "edge2": {}}
    assert deployment.architectures(["edge1", "edge2"], variables, "cloud")["others"] == {}


def test_pods_with_the_same_framework_stay_for_another_app() -> None:
    """Whatever runs the app, the first hash of the tag, must be the same; and nothing may hold a pod back."""
    rows, image = edges(edgefl_kind="Pod"), f"client:v1-{'e' * 12}-{'2' * 12}"

    def images(*tags: str) -> list[str]:
        there = [
            {"name": f"{row['name']}-pod-0", "image": f"client:{tag}" if tag else ""} for row, tag in zip(rows, tags)
        ]
        return [row["image"] for row in deployment.clients(rows, TRAINING, image, NODES, COMMON, {}, there)]

    first = f"v1-{'e' * 12}-{'1' * 12}"
    assert images(first) == [f"client:{first}", image]
    assert images("", f"v1-{'f' * 12}-{'1' * 12}") == [image, image]
    settings = [deployment.clients(rows, TRAINING, each, NODES, COMMON, {})[0] for each in (image, f"client:{first}")]
    assert settings[0]["settings"] == settings[1]["settings"] and settings[0]["made_of"] != settings[1]["made_of"]


ENGINES = {name: f"{name}:v1-{'e' * 12}-{'2' * 12}" for name in ("aggregator", "client")}
OLDER = {name: f"{name}:v1-{'e' * 12}-{'1' * 12}" for name in ENGINES}
FILLED = {"state_dir": "/state", "apps_dir": "/apps", "run_file": "/apps/run.json", "client_slices": {"edge1": "0:5"}}


def aggregator(run: str, pod: dict[str, str], **more: Any) -> dict[str, Any]:
    return deployment.aggregator(TRAINING, run, ENGINES["aggregator"], FILLED | more, pod)


def test_a_pod_of_the_aggregator_takes_run_after_run() -> None:
    """What is of a run is in its file alone; a pod that runs another engine, or that nothing is known of, is replaced."""
    first = aggregator("r1", {}, app_identity="fashion_mnist@1")
    assert (first["image"], first["begun"]) == (ENGINES["aggregator"], "r1")
    made_for = first["arguments"].pop()
    assert made_for == f"--made_for={first['run']['made_for']}"
    pod_s = {"--app=fashion_mnist", "--state_dir=/state", "--apps_dir=/apps", "--run_file=/apps/run.json"}
    assert set(first["arguments"]) == pod_s
    assert set(first["run"]["arguments"]) == {
        "--run=r1", "--rounds=5", "--client_slices=edge1=0:5", "--app_identity=fashion_mnist@1",
    }  # fmt: skip
    older = {"image": OLDER["aggregator"], "run": "r0"}
    second = aggregator("r2", older)
    assert (second["image"], second["begun"]) == (older["image"], "r0") and second["arguments"][-1] == made_for
    other = aggregator("r2", {"image": f"aggregator:v1-{'f' * 12}-{'1' * 12}", "run": "r0"})
    assert (other["image"], other["begun"]) == (ENGINES["aggregator"], "r2")
    assert aggregator("r1", {}, state_dir="/other")["run"]["made_for"] != first["run"]["made_for"]


@pytest.mark.parametrize(
    ("pod", "images", "engine", "stay"),
    [
        (OLDER["aggregator"], [OLDER["client"], ENGINES["client"]], "0123", True),
        (OLDER["aggregator"], [OLDER["client"]], "4567", False),
        ("", [OLDER["client"]], "0123", False),
        (OLDER["aggregator"], [OLDER["client"], ""], "0123", False),
        (OLDER["aggregator"], [f"client:v1-{'f' * 12}-{'1' * 12}"], "0123", False),
        (f"aggregator:v1-{'f' * 12}-{'1' * 12}", [OLDER["client"]], "0123", False),
        (OLDER["aggregator"], [], "0123", False),
    ],
)
def test_an_edit_that_needs_no_new_pods(pod: str, images: list[str], engine: str, stay: bool) -> None:
    workloads = [{"kind": "Deployment", "name": "c", "image": image} for image in images]
    there = {
        "aggregator_pod": {"image": pod, "run": "r"} if pod else {},
        "clients": [*workloads, {"kind": "Service", "name": "s", "image": ""}],
        "engine": deployment.noted_engine(OLDER["aggregator"], "0123", ""),
    }
    assert deployment.pods_stay(there, engine) == ({"aggregator": pod, "client": images[0]} if stay else {})
    assert deployment.pods_stay({**there, "engine": ""}, "") == {}
    # Whatever edge comes first, the name is that for the cloud node's architecture
    for workload in workloads:
        workload["image"] = workload["image"].replace("client:", "client-arm64:")
    assert deployment.pods_stay(there, engine) == ({"aggregator": pod, "client": images[0]} if stay else {})


def test_what_is_noted_of_an_image_stays_with_that_image() -> None:
    noted = deployment.noted_engine(OLDER["aggregator"], "0123", "")
    assert deployment.noted_engine(ENGINES["aggregator"], "", noted) == noted
    assert deployment.noted_engine(f"aggregator:v1-{'f' * 12}-{'1' * 12}", "", noted) == ""
    assert deployment.noted_engine(ENGINES["aggregator"], "4567", noted).endswith(" 4567")


def test_a_renewed_certificate_is_another_pod_and_the_same_training() -> None:
    before, after = (clients(edges(), {"fashion-mnist-client-edge1-tls": text}) for text in ("1", "2"))
    assert before[0]["made_of"] != after[0]["made_of"]
    assert before[1]["made_of"] == after[1]["made_of"]
    settings = [deployment.run_settings(rows, TRAINING, IMAGES, "", True, "") for rows in (before, after)]
    assert settings[0] == settings[1]


def test_another_name_in_the_inventory_is_the_same_training() -> None:
    before = clients(edges({"edge1": {}, "edge2": {}}))
    after = clients(edges({"harbour": {"edgefl_node_name": "edge1"}, "mill": {"edgefl_node_name": "edge2"}}))
    assert [row["made_of"] for row in before] == [row["made_of"] for row in after]
    assert len({deployment.run_settings(rows, TRAINING, IMAGES, "", True, "") for rows in (before, after)}) == 1


@pytest.mark.parametrize(
    ("variables", "images", "tls"),
    [
        ({"edgefl_replicas": 2}, IMAGES, True),
        ({"edgefl_slice_stop": 7}, IMAGES, True),
        ({"edgefl_epochs": 2}, IMAGES, True),
        ({}, IMAGES | {"aggregator": "aggregator:2"}, True),
        ({}, IMAGES, False),
    ],
)
def test_other_settings_are_another_training(variables: dict[str, Any], images: dict[str, str], tls: bool) -> None:
    before = deployment.run_settings(clients(edges()), TRAINING, IMAGES, "", True, "")
    assert (
        deployment.run_settings(clients(edges({"edge1": variables, "edge2": {}})), TRAINING, images, "", tls, "")
        != before
    )
    assert deployment.run_settings(clients(edges()), TRAINING, IMAGES, "", True, "/srv/test") != before
    assert deployment.run_settings(clients(edges()), TRAINING | {"edgefl_rounds": 6}, IMAGES, "", True, "") != before


def test_of_an_app_beside_its_image_the_app_counts_and_what_runs_it() -> None:
    rows = clients(edges())

    def settings(images: dict[str, str], app: str) -> str:
        return deployment.run_settings(rows, TRAINING, images, app, True, "")

    assert settings(ENGINES, "a@1") == settings(OLDER, "a@1") != settings(OLDER, "a@2")
    assert settings(ENGINES, "") != settings(OLDER, "")
    other = {name: image.replace("-", "-f", 1) for name, image in ENGINES.items()}
    assert settings(other, "a@1") != settings(ENGINES, "a@1")


def test_a_flower_app_s_configuration_is_part_of_its_training() -> None:
    rows = clients(edges())
    one, same, other = (
        deployment.run_settings(rows, TRAINING | {"edgefl_app_config": config}, IMAGES, "", True, "")
        for config in ({"lr": 0.1, "net": "x"}, {"net": "x", "lr": 0.1}, {"lr": 0.2, "net": "x"})
    )
    assert one == same != other


def test_nothing_goes_that_can_be_replaced_where_it_is() -> None:
    rows = clients(edges())
    assert retired(training(*(("Deployment", row["name"], "old") for row in rows)), rows) == []


def test_an_aggregator_s_pod_that_failed_goes() -> None:
    assert retired({**training(), "failed_pods": ["fashion-mnist-0123"]}, clients(edges())) == [
        "Pod/fashion-mnist-0123"
    ]


def test_a_pod_that_an_app_has_broken_goes_when_another_run_begins() -> None:
    there = {**training(), "broken_pods": ["fashion-mnist-client-edge1-0123"]}
    assert retired(there, clients(edges())) == ["Pod/fashion-mnist-client-edge1-0123"]
    assert retired(there, clients(edges()), begins=False, fresh=True) == []


def test_an_edge_that_left_goes() -> None:
    there = training(("Deployment", "fashion-mnist-client-edge9", "s"))
    assert retired(there, clients(edges())) == ["Deployment/fashion-mnist-client-edge9"]


def test_another_kind_goes() -> None:
    rows = clients(edges(edgefl_kind="StatefulSet"))
    there = training(("Deployment", rows[0]["name"], "s"), ("StatefulSet", rows[1]["name"], rows[1]["made_of"]))
    assert retired(there, rows) == [f"Deployment/{rows[0]['name']}"]


def test_a_statefulset_with_other_settings_goes_and_its_service_stays() -> None:
    rows = clients(edges(edgefl_kind="StatefulSet"))
    there = training(("StatefulSet", rows[0]["name"], "old"), ("Service", NAMES["clients"], ""))
    assert retired(there, rows) == [f"StatefulSet/{rows[0]['name']}"]
    assert retired(training(("Service", NAMES["clients"], "")), clients(edges())) == [f"Service/{NAMES['clients']}"]


def test_a_network_policy_goes_only_when_none_is_wanted() -> None:
    there = training(("NetworkPolicy", NAMES["clients"], ""))
    assert retired(there, clients(edges()), fresh=True, policy="both") == []
    assert retired(there, clients(edges()), policy="none") == [f"NetworkPolicy/{NAMES['clients']}"]


def test_pods_that_are_too_many_go() -> None:
    rows = clients(edges({"edge1": {"edgefl_kind": "Pod", "edgefl_replicas": 2}}))
    there = training(*(("Pod", f"{rows[0]['name']}-pod-{index}", rows[0]["made_of"]) for index in range(3)))
    assert retired(there, rows) == [f"Pod/{rows[0]['name']}-pod-2"]


def test_fresh_pods() -> None:
    rows = clients(edges())
    there = training(*(("Deployment", row["name"], row["made_of"]) for row in rows))
    assert retired(there, rows, fresh=True) == [f"Deployment/{row['name']}" for row in rows]


def test_the_aggregator_of_another_app_goes() -> None:
    assert retired(training(aggregator="footwear"), []) == ["Deployment/footwear"]
    assert retired(training(aggregator=""), []) == []


def test_certificates() -> None:
    server, *others = deployment.certificates(edges(), NAMES, ["DNS:cloud"])
    assert server == {"name": "fashion-mnist-tls", "names": ["DNS:cloud"], "server": True}
    assert others == [
        {"name": f"fashion-mnist-client-{node}-tls", "names": [f"DNS:{node}"]} for node in ("edge1", "edge2")
    ]


def test_what_an_app_is_told_of_its_node() -> None:
    one, two = clients(edges({"edge1": {"edgefl_node_config": {"site": 'a "b"', "deep": True}}, "edge2": {}}))
    assert [word for word in one["arguments"] if "node_config" in word] == [
        "--node_config=deep=true",
        "--node_config=num-partitions=2",
        "--node_config=partition-id=0",
        '--node_config=site="a \\"b\\""',
    ]
    assert "--node_config=partition-id=1" in two["arguments"]


def test_data_at_the_edge_is_part_of_the_training() -> None:
    """A pod knows it as /data; another path is another training."""
    settings = set()
    for path in ("", "/srv/a", "/srv/b"):
        (row,) = clients(edges({"edge1": {"edgefl_data": path}}))
        assert ("--data_dir=/data" in row["arguments"]) == bool(path)
        settings.add(row["settings"])
    assert len(settings) == 3
    (same,) = clients(edges({"edge1": {}}, edgefl_data="/srv/b"))
    assert same["settings"] in settings


def test_images_of_one_build() -> None:
    """A client that another build has made byte for byte the same has that one's name, too, and the versions of others."""
    names = [
        "fl-aggregator:v1-b-b",
        "fl-aggregator:v1",
        "fl-client:v1-a-a",
        "fl-client:v1",
        "fl-client:v1-b-b",
        "fl-client:v10-a-a",
    ]
    newest = {"aggregator": "fl-aggregator:v1-b-b", "client": "fl-client:v1-b-b"}
    assert deployment.built_images(names, "fl", "v1") == newest
    assert deployment.built_images(names[::-1], "fl", "v1") == newest


def test_images_that_two_builds_made_the_same() -> None:
    """Both have the names of two builds; the newest is the one that was noted, unless its images have gone."""
    names = [f"fl-{target}:v1{tag}" for target in ("aggregator", "client") for tag in ("", "-a-a", "-b-b")]
    found = deployment.built_images(names, "fl", "v1", "v1-b-b")
    assert found == {"aggregator": "fl-aggregator:v1-b-b", "client": "fl-client:v1-b-b"}
    assert deployment.built_images(names, "fl", "v1", "v1-c-c")["client"] == "fl-client:v1-a-a"


@pytest.mark.parametrize("names", [[], ["fl-aggregator:v1", "fl-client:v1"], ["fl-aggregator:v1-a", "fl-client:v1-b"]])
def test_images_without_a_tag_in_common(names: list[str]) -> None:
    assert deployment.built_images(names, "fl", "v1") == {"aggregator": "fl-aggregator:v1", "client": "fl-client:v1"}
