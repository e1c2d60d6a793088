"""The arithmetic of autoscalers, as the documentation of Kubernetes describes it, and the sentences that explain it."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.edgefl.kubeedge.plugins.module_utils._telemetry import hpa
from ansible_collections.edgefl.kubeedge.plugins.module_utils._telemetry.hpa import Policy, Rules, Snapshot, Spec

PODS = st.integers(1, 50)
USES = st.integers(0, 2000)
TARGETS = st.integers(1, 300)
HISTORY = st.lists(st.tuples(st.floats(0, 1000), PODS), max_size=8)
CHANGES = st.lists(st.tuples(st.floats(0, 1000), st.integers(-10, 10).filter(bool)), max_size=8)
POLICIES = st.lists(
    st.builds(Policy, st.sampled_from(["Pods", "Percent"]), st.integers(1, 200), st.integers(1, 600)),
    min_size=1,
    max_size=3,
).map(tuple)
RULES = st.builds(Rules, st.integers(0, 600), POLICIES, st.sampled_from(["Max", "Min", "Disabled"]))
SPECS = st.builds(
    lambda least, more, target, up, down: Spec(least, least + more, {"cpu": target}, up, down),
    st.integers(1, 5),
    st.integers(0, 20),
    TARGETS,
    RULES,
    RULES,
)
HOW_TO = Spec(
    1, 5, {"cpu": 60.0}, down=Rules(120, (Policy("Pods", 5, 120),), "Min")
)  # that of KubeEdge's how-to for federated learning


def spec(target: float = 60, **more: Any) -> Spec:
    return Spec(1, 100, {"cpu": target}, **more)


# Arithmetic ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("current", "use", "target", "wanted"),
    [(1, 150, 60, 3), (3, 20, 60, 1), (2, 60, 60, 2), (4, 66, 60, 4), (4, 67, 60, 5), (4, 54, 60, 4), (4, 45, 60, 3)],
)
def test_desired_pods(current: int, use: float, target: float, wanted: int) -> None:
    assert hpa.desired_pods(current, use, target, spec(target)) == wanted


@given(PODS, USES, TARGETS)
def test_desired_pods_is_the_formula_or_no_change(current: int, use: int, target: int) -> None:
    found = hpa.desired_pods(current, use, target, spec(target))
    if abs(Fraction(use, target) - 1) <= Fraction(1, 10):
        assert found == current
    else:
        assert found == math.ceil(Fraction(current * use, target))


@given(PODS, USES, USES, TARGETS)
def test_more_use_never_asks_for_fewer(current: int, one: int, other: int, target: int) -> None:
    low, high = sorted((one, other))
    asks = [hpa.desired_pods(current, use, target, spec(target)) for use in (low, high)]
    assert asks == sorted(asks)


@given(PODS, USES, TARGETS, st.integers(0, 10), st.integers(0, 10))
def test_doubtful_pods_only_make_it_more_careful(
    current: int, use: int, target: int, missing: int, unready: int
) -> None:
    found = hpa.desired_pods(current, use, target, spec(target), missing, unready)
    if missing + unready >= current:
        assert found == current
        return
    measured = current - missing - unready
    if use > target:
        assert current <= found <= max(current, math.ceil(Fraction(measured * use, target)))
    elif missing:
        assert math.ceil(Fraction(measured * use, target)) <= found <= current


def test_a_missing_pod_counts_as_its_whole_request_while_shrinking() -> None:
    assert hpa.desired_pods(2, 10, 60, spec(), missing=1) == 2
    assert hpa.desired_pods(4, 10, 60, spec(), missing=1) == math.ceil((30 + 100) / 60)


def test_a_pod_that_is_not_ready_counts_as_idle_while_growing() -> None:
    assert hpa.desired_pods(2, 100, 60, spec()) == 4
    assert hpa.desired_pods(2, 100, 60, spec(), unready=1) == 2


@given(SPECS, PODS, PODS, HISTORY)
def test_windows_hold_between_what_is_and_what_is_asked(given_: Spec, current: int, wanted: int, history: Any) -> None:
    found = hpa.stabilised(given_, current, wanted, 1000, history)
    if wanted < current:
        recent = [pods for at, pods in history if at > 1000 - given_.down.window]
        assert found == min(current, max([wanted, *recent]))
    elif wanted > current:
        recent = [pods for at, pods in history if at > 1000 - given_.up.window]
        assert found == max(current, min([wanted, *recent]))
    else:
        assert found == current


@given(RULES, PODS, CHANGES, st.booleans())
def test_policies_never_turn_the_direction(rules: Rules, current: int, changes: Any, grows: bool) -> None:
    found = hpa.limit(rules, current, 1000, changes, grows)
    assert found >= current if grows else found <= current
    if rules.select == "Disabled":
        assert found == current


@given(POLICIES, PODS, CHANGES, st.booleans())
def test_min_is_never_faster_than_max(policies: Any, current: int, changes: Any, grows: bool) -> None:
    slow, fast = (
        abs(hpa.limit(Rules(0, policies, select), current, 1000, changes, grows) - current) for select in ("Min", "Max")
    )
    assert slow <= fast


def test_what_the_period_has_used_is_taken_off() -> None:
    rules = Rules(0, (Policy("Pods", 4, 60),))
    assert hpa.limit(rules, 5, 100, [], grows=True) == 9
    assert hpa.limit(rules, 5, 100, [(50, 3)], grows=True) == 6
    assert hpa.limit(rules, 5, 100, [(30, 3)], grows=True) == 9
    half = Rules(0, (Policy("Percent", 50, 60),))
    assert hpa.limit(half, 5, 100, [], grows=False) == 2
    assert hpa.limit(half, 5, 100, [(90, -5)], grows=False) == 5


@given(SPECS, st.integers(1, 30), USES, HISTORY, CHANGES)
def test_decisions_stay_between_the_limits(given_: Spec, current: int, use: int, history: Any, changes: Any) -> None:
    decision = hpa.decide(given_, Snapshot(1000, current, current, {"cpu": use}), history, changes)
    assert given_.least <= decision.desired <= given_.most
    assert decision.text
    if given_.least <= current <= given_.most:
        assert (decision.kind == "scale") == (decision.desired != current)


# Reading ---------------------------------------------------------------------------------------------------------------


def test_the_how_tos_spec() -> None:
    found = hpa.spec_of(
        {
            "minReplicas": 1,
            "maxReplicas": 5,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}},
                }
            ],
            "behavior": {
                "scaleDown": {
                    "stabilizationWindowSeconds": 120,
                    "selectPolicy": "Min",
                    "policies": [{"type": "Pods", "value": 5, "periodSeconds": 120}],
                }
            },
        }
    )
    assert found == HOW_TO


def test_a_window_of_zero_is_no_default() -> None:
    found = hpa.spec_of({"maxReplicas": 3, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}})
    assert found.down.window == 0
    assert found.targets == {"cpu": 80.0}


def test_status() -> None:
    snapshot = hpa.snapshot_of(
        5.0,
        {
            "currentReplicas": 1,
            "desiredReplicas": 3,
            "currentMetrics": [
                {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 150}}}
            ],
            "conditions": [{"type": "AbleToScale", "status": "True", "reason": "SucceededRescale", "message": "a\n b"}],
        },
    )
    assert snapshot == Snapshot(5.0, 1, 3, {"cpu": 150}, {"AbleToScale": ("True", "SucceededRescale", "a b")})


# Words -----------------------------------------------------------------------------------------------------------------


def test_out_and_in_again_in_sentences() -> None:
    """The how-to's autoscaler under load, and after it."""
    snapshots = [
        Snapshot(0, 1, 1, {"cpu": 5}),
        Snapshot(15, 1, 3, {"cpu": 150}),
        Snapshot(30, 3, 3, {"cpu": 58}),
        *(Snapshot(at, 3, 3, {"cpu": 5}) for at in range(45, 135, 15)),
        Snapshot(150, 3, 1, {"cpu": 5}),
        Snapshot(165, 1, 1, {"cpu": 5}),
    ]
    found = hpa.explain(HOW_TO, snapshots)
    assert found == [
        (15, "From 1 to 3 pods: CPU use 150 %, target 60 %: ceil(1 × 150 / 60) = 3."),
        (
            30,
            "Stays at 3 pods: CPU use 58 % is within 10 % of the target 60 %, which asks for no change; "
            "it shrinks when CPU use is below 40 %.",
        ),
        (
            45,
            "Stays at 3 pods: CPU use 5 %, target 60 %: ceil(3 × 5 / 60) = 1; in the last 120 s up to 3 were asked for, so 3 "
            "(stabilisation window, 105 s of it left at most).",
        ),
        (150, "From 3 to 1 pod: CPU use 5 %, target 60 %: ceil(3 × 5 / 60) = 1."),
    ]


@pytest.mark.parametrize(
    ("given_", "snapshot", "history", "kind", "words"),
    [
        (HOW_TO, Snapshot(0, 5, 5, {"cpu": 300}), [], "most", "maxReplicas is 5"),
        (HOW_TO, Snapshot(0, 1, 1, {"cpu": 0}), [], "least", "minReplicas is 1"),
        (HOW_TO, Snapshot(0, 3, 3, {"cpu": 45}), [], "enough", "it shrinks when CPU use is below 40 %"),
        (HOW_TO, Snapshot(0, 3, 3, {"cpu": None}), [], "metrics", "no figure for CPU"),
        (HOW_TO, Snapshot(0, 0, 0, {"cpu": 5}), [], "off", "switched off"),
        (spec(down=Rules(0, hpa.DOWN.policies, "Disabled")), Snapshot(0, 3, 3, {"cpu": 5}), [], "policy", "Disabled"),
        (
            Spec(1, 5, {"cpu": 60.0, "memory": 80.0}),
            Snapshot(0, 3, 3, {"cpu": 5, "memory": 78}),
            [],
            "memory",
            "seldom gives back memory",
        ),
        (
            Spec(1, 5, {"cpu": 60.0, "memory": 80.0}),
            Snapshot(0, 3, 3, {"cpu": 5, "memory": None}),
            [],
            "metrics",
            "no figure for memory",
        ),
    ],
)  # fmt: skip
def test_reasons_not_to_scale(given_: Spec, snapshot: Snapshot, history: Any, kind: str, words: str) -> None:
    decision = hpa.decide(given_, snapshot, history, [])
    assert (decision.kind, decision.desired) == (kind, snapshot.current)
    assert words in decision.text


def test_metrics_that_are_missing_do_not_keep_it_from_growing() -> None:
    both = Spec(1, 5, {"cpu": 60.0, "memory": 80.0})
    assert hpa.decide(both, Snapshot(0, 1, 1, {"cpu": 150, "memory": None}), [], []).desired == 3


def test_a_policy_slows_growth() -> None:
    slow = Spec(1, 10, {"cpu": 60.0}, up=Rules(0, (Policy("Pods", 1, 60),)))
    decision = hpa.decide(slow, Snapshot(0, 2, 3, {"cpu": 150}), [], [])
    assert decision.desired == 3
    assert "scaleUp allows 1 pods in 60 s (selectPolicy Max), so 3" in decision.text


def test_the_controllers_own_words_where_the_arithmetic_does_not_know() -> None:
    """A window that began before the first snapshot."""
    conditions = {"AbleToScale": ("True", "ScaleDownStabilized", "recent recommendations were higher")}
    found = hpa.explain(HOW_TO, [Snapshot(0, 3, 3, {"cpu": 5}, conditions)])
    assert found == [
        (
            0,
            "Stays at 3 pods: CPU use 5 %, target 60 %: ceil(3 × 5 / 60) = 1; the autoscaler says: recent recommendations were higher.",
        )
    ]


def test_nothing_is_said_of_an_autoscaler_that_has_not_begun() -> None:
    assert hpa.explain(HOW_TO, [Snapshot(0, 0, 0, {})]) == []
