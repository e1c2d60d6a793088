"""Options of the two programs: what is accepted, and that each refusal says what is allowed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgefl.common import settings

CLIENT = ["--server_address=cloud:8888", "--node=edge1"]


def test_the_how_tos_aggregator_arguments() -> None:
    chosen = settings.aggregator(
        [
            "--rounds=5",
            "--sample_fraction=0.5",
            "--min_sample_size=2",
            "--min_num_clients=2",
            "--server_address=0.0.0.0:8888",
        ]
    )
    assert (
        chosen.rounds,
        chosen.sample_fraction,
        chosen.min_sample_size,
        chosen.min_num_clients,
        chosen.server_address,
    ) == (5, 0.5, 2, 2, "0.0.0.0:8888")
    assert (chosen.selection, chosen.loops, chosen.min_round_samples, chosen.state_dir, chosen.tls) == (
        "node",
        1,
        0.5,
        None,
        None,
    )


def test_the_how_tos_client_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAME", "fashion-mnist-edge1-0")
    monkeypatch.setenv("NODE_NAME", "edge1")
    chosen = settings.client(["--partition=0", "--clients=1000", "--server_address=cloud:8888"])
    assert (chosen.partition, chosen.clients, chosen.node, chosen.pod) == (0, 1000, "edge1", "fashion-mnist-edge1-0")


def test_dashes_are_accepted() -> None:
    assert settings.aggregator(["--sample-fraction=0.25", "--min-num-clients", "7"]).min_num_clients == 7
    assert settings.client(["--server-address=[::1]:8888", "--batch-size=64", "--node=a"]).batch_size == 64


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--rounds=0", "a whole number, 1 or more"),
        ("--rounds=five", "got 'five'"),
        ("--sample_fraction=1.5", "a number from 0 to 1"),
        ("--sample_fraction=nan", "a number from 0 to 1"),
        ("--server_address=8888", "HOST:PORT"),
        ("--server_address=::1:8888", "[::]:8888"),
        ("--status_address=0.0.0.0:99999", "HOST:PORT"),
        ("--status_address=127.0.0.1:8889,", "HOST:PORT"),
        ("--selection=pods", "'node', 'pod'"),
        ("--run=../x", "letters, digits"),
        ("--app=fashion", "there are: fashion_mnist"),
        ("--strategy=FedBest", "FedAvg"),
        ("--strategy_options=eta", "NAME=NUMBER"),
        ("--strategy_options=eta=nan", "NAME=NUMBER"),
        ("--round_timeout=0", "seconds, 1 or more"),
        ("--tls_dir=/nowhere", "ca.crt, tls.crt and tls.key"),
        ("--round=3", "unrecognized arguments"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(
    argument: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        settings.aggregator([argument])
    assert error.value.code == 2
    message = capsys.readouterr().err
    assert text in message and argument.partition("=")[0] in message


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--partition=10", "--clients=10"], "--partition=10 must be below --clients=10"),
        (["--partition=-1"], "a whole number, 0 or more"),
        (["--epochs=0"], "a whole number, 1 or more"),
        (["--node=edge 1"], "letters, digits"),
    ],
)
def test_a_bad_client_value_is_refused(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        settings.client(CLIENT + arguments)
    assert error.value.code == 2 and text in capsys.readouterr().err


def test_the_server_address_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        settings.client(["--node=edge1"])
    assert "--server_address" in capsys.readouterr().err


def test_tls_files_are_read_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file, mark in (("ca.crt", "CERTIFICATE"), ("tls.crt", "CERTIFICATE"), ("tls.key", "PRIVATE KEY")):
        (tmp_path / file).write_text(f"-----BEGIN {mark}-----\n")
    chosen = settings.client([*CLIENT, f"--tls_dir={tmp_path}"])
    assert chosen.tls and chosen.tls.key.startswith(b"-----BEGIN PRIVATE")
    (tmp_path / "tls.key").write_text("secret of another form")
    with pytest.raises(SystemExit):
        settings.client([*CLIENT, f"--tls_dir={tmp_path}"])
    message = capsys.readouterr().err
    assert "tls.key is no PEM file" in message and "secret" not in message.replace("Secret", "")


def test_settings_of_clients(capsys: pytest.CaptureFixture[str]) -> None:
    assert settings.aggregator(["--client_settings=edge1=1f0c", "--client_settings=edge2=a=b"]).client_settings == {
        "edge1": "1f0c",
        "edge2": "a=b",
    }
    assert settings.aggregator([]).client_settings == {}
    for wrong in ("edge1", "edge1=", "=1f0c"):
        with pytest.raises(SystemExit):
            settings.aggregator([f"--client_settings={wrong}"])
        assert "must be" in capsys.readouterr().err


def test_strategy_options() -> None:
    assert settings.aggregator(
        ["--strategy=FedAdam", "--strategy_options=eta=0.01", "--strategy_options", "tau=1e-3"]
    ).strategy_options == {"eta": 0.01, "tau": 0.001}


@pytest.mark.parametrize("program", ["aggregator", "client"])
def test_every_option_of_the_list_is_in_the_help(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        getattr(settings, program)(["--help"])
    shown = capsys.readouterr().out
    for name, option in settings.OPTIONS.items():
        assert bool(re.search(rf"^  --{name}[, ]", shown, re.M)) == (program in option["programs"]), name


def test_what_shapes_a_training() -> None:
    """Where the aggregator runs and what the run is called make no other training; what it trains does."""
    plain = settings.aggregator([])
    moved = settings.aggregator(
        ["--run=other", "--server_address=0.0.0.0:1", "--state_dir=/x", "--client_settings=a=b"]
    )
    assert moved.shaping() == plain.shaping()
    assert plain.shaping()["strategy"] == "FedAvg" and plain.shaping()["tls"] is False
    assert settings.aggregator(["--seed=2"]).shaping() == plain.shaping() | {"seed": 2}


def test_options_describe_themselves() -> None:
    """A word that nobody reads (`maximum`, say) would be a check that is never made."""
    known = {
        "help",
        "programs",
        "type",
        "default",
        "environment",
        "required",
        "attribute",
        "min",
        "max",
        "unit",
        "choices",
        "takes",
        "variable_help",
        "metavar",
    }
    known |= {"variable", "automatic", "per_host", "shapes_training"}
    for name, option in settings.OPTIONS.items():
        assert set(option) <= known, name
        assert option["help"].endswith(".") and set(option["programs"]) <= {"aggregator", "client"}, name
        assert ("min" in option) == (option["type"] in ("int", "float")), f"{name}: numbers have a least value"
        if "choices" in option:
            assert option["default"] in option["choices"], name
