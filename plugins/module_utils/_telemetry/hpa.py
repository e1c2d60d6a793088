# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the arithmetic of a HorizontalPodAutoscaler, and its decisions in words.

Source: Kubernetes documentation, "Horizontal Pod Autoscaling": algorithm details, and configurable scaling behavior (autoscaling/v2).
Uses and targets are in percent of the pods' requests, times in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

TOLERANCE = 0.1
DEFAULT_TARGET = 80
# Seconds within which metrics-server has a first figure of a new pod: two of its intervals and a start
NEW_POD = 60.0


@dataclass(frozen=True)
class Policy:
    """At most `value` pods (C(Pods)), or percent of the pods (C(Percent)), in `period` seconds."""

    kind: str
    value: int
    period: int

    def __str__(self) -> str:
        return f"{self.value} {'%' if self.kind == 'Percent' else 'pods'} in {self.period} s"


@dataclass(frozen=True)
class Rules:
    """How fast it may go in one direction; `select` is C(Max), C(Min) or C(Disabled)."""

    window: int
    policies: tuple[Policy, ...]
    select: str = "Max"
    tolerance: float = TOLERANCE


UP = Rules(0, (Policy("Percent", 100, 15), Policy("Pods", 4, 15)))
DOWN = Rules(300, (Policy("Percent", 100, 15),))


@dataclass(frozen=True)
class Spec:
    """What an autoscaler is to do: `targets` by metric."""

    least: int
    most: int
    targets: Mapping[str, float]
    up: Rules = UP
    down: Rules = DOWN


@dataclass(frozen=True)
class Snapshot:
    """An autoscaler's status at a time. A use is None while it has no figure; `ready` is None when the ready pods were not counted."""

    time: float
    current: int
    desired: int
    uses: Mapping[str, float | None]
    conditions: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    ready: int | None = None


@dataclass(frozen=True)
class Decision:
    """How many pods there are to be, what kind of reason that has, and the reason in words."""

    desired: int
    kind: str
    text: str


def spec_of(given: Mapping[str, Any]) -> Spec:
    """Reads the C(spec) of an autoscaling/v2 object, with what the API server fills in. Only shares of requests are targets here."""
    targets = {}
    for metric in given.get("metrics") or [{"type": "Resource", "resource": {"name": "cpu"}}]:
        if metric["type"] == "Resource":
            target = metric["resource"].get("target", {}).get("averageUtilization")
            if target is not None or "target" not in metric["resource"]:
                targets[metric["resource"]["name"]] = float(target or DEFAULT_TARGET)
    behavior = given.get("behavior") or {}
    return Spec(
        least=given.get("minReplicas", 1),
        most=given["maxReplicas"],
        targets=targets,
        up=_rules(behavior.get("scaleUp") or {}, UP),
        down=_rules(behavior.get("scaleDown") or {}, DOWN),
    )


def _rules(given: Mapping[str, Any], default: Rules) -> Rules:
    policies = tuple(Policy(each["type"], each["value"], each["periodSeconds"]) for each in given.get("policies") or [])
    window = given.get("stabilizationWindowSeconds")
    return Rules(
        window=default.window if window is None else window,
        policies=policies or default.policies,
        select=given.get("selectPolicy") or "Max",
        tolerance=float(given.get("tolerance") or TOLERANCE),
    )


def snapshot_of(time: float, status: Mapping[str, Any], ready: int | None = None) -> Snapshot:
    """Reads the C(status) of an autoscaling/v2 object."""
    uses = {
        each["resource"]["name"]: each["resource"].get("current", {}).get("averageUtilization")
        for each in status.get("currentMetrics") or []
        if each.get("type") == "Resource"
    }
    conditions = {
        each["type"]: (each["status"], each.get("reason", ""), " ".join(each.get("message", "").split()))
        for each in status.get("conditions") or []
    }
    return Snapshot(time, status.get("currentReplicas", 0), status.get("desiredReplicas", 0), uses, conditions, ready)


# Arithmetic ------------------------------------------------------------------------------------------------------------


def desired_pods(current: int, use: float, target: float, spec: Spec, missing: int = 0, unready: int = 0) -> int:
    """How many pods a metric asks for: ceil(pods x use / target), or `current` when that is within the tolerance.

    `use` is the mean of the pods that have a figure and are ready; `missing` pods have none, `unready` ones are not ready yet. In doubt it is
    careful: where it would grow they count as 0 %, where it would shrink the missing ones as all of their request (or the target, if higher).
    When they turn the direction round, nothing changes.
    """
    measured = current - missing - unready
    if measured <= 0:
        return current
    ratio = _ratio(use, target)
    grows = ratio > 1
    if not missing and not (unready and grows):
        return current if _near(ratio, spec) else math.ceil(ratio * measured)
    total = Fraction(use) * measured
    count = measured + missing
    if grows:
        count += unready
    else:
        total += Fraction(max(100.0, target)) * missing
    guess = total / count / Fraction(target)
    if _near(guess, spec) or (guess > 1) != grows:
        return current
    wanted = math.ceil(guess * count)
    return wanted if (wanted > current) == grows else current


def _ratio(use: float, target: float) -> Fraction:
    return Fraction(use) / Fraction(target)


def _near(ratio: Fraction, spec: Spec) -> bool:
    """Within the tolerance of the direction in which it would go."""
    rules = spec.up if ratio > 1 else spec.down
    return abs(ratio - 1) <= Fraction(str(rules.tolerance))


def stabilised(spec: Spec, current: int, wanted: int, now: float, history: Iterable[tuple[float, int]]) -> int:
    """What is left of `wanted` after the windows: the least that was asked for while growing, the most while shrinking.

    `history` has (time, pods asked for) of earlier snapshots.
    """
    seen = list(history)
    low = min([wanted, *(pods for at, pods in seen if at > now - spec.up.window)])
    high = max([wanted, *(pods for at, pods in seen if at > now - spec.down.window)])
    return min(max(current, low), high)


def limit(rules: Rules, current: int, now: float, changes: Iterable[tuple[float, int]], grows: bool) -> int:
    """The most (or, when it shrinks, the fewest) pods that the policies allow now.

    `changes` has (time, pods added or, below zero, removed). C(Max) takes the policy that lets it go furthest, C(Min) the other.
    """
    if rules.select == "Disabled":
        return current
    seen = list(changes)
    found = []
    for policy in rules.policies:
        recent = sum(
            delta for at, delta in seen if at > now - policy.period and (delta > 0) == grows
        )  # what this period has used already
        before = current - recent
        if policy.kind == "Pods":
            found.append(before + policy.value if grows else before - policy.value)
        elif grows:
            found.append(math.ceil(before * (1 + Fraction(policy.value, 100))))
        else:
            found.append(math.floor(before * (1 - Fraction(policy.value, 100))))
    furthest = (max if grows else min) if rules.select == "Max" else (min if grows else max)
    bound = furthest(found)
    return max(bound, current) if grows else min(bound, current)


# Words -----------------------------------------------------------------------------------------------------------------


def decide(
    spec: Spec, snapshot: Snapshot, history: Sequence[tuple[float, int]], changes: Sequence[tuple[float, int]]
) -> Decision:
    """What follows from the metrics, the windows, the policies and the limits, step by step.

    Its `kind` is C(scale), C(metrics), C(tolerance), C(enough), C(window), C(policy), C(least), C(most), C(memory) or C(off).
    """
    current = snapshot.current
    if current == 0:
        return Decision(0, "off", "with 0 pods it is switched off")
    if not spec.least <= current <= spec.most:
        bound = min(max(current, spec.least), spec.most)
        name = "minReplicas" if current < spec.least else "maxReplicas"
        return Decision(bound, "scale", f"{name} is {bound}")
    wanted, text, missing = _wanted(spec, snapshot)
    if missing and wanted <= current:
        return _no_figure(snapshot, missing)
    steps, kind, target = [text], "scale", current
    settled = stabilised(spec, current, wanted, snapshot.time, history)
    if settled != wanted:
        kind = "window"
        steps.append(_window(spec, snapshot, wanted, settled, history))
    if settled != current:
        target, limited, reasons = _limited(spec, current, settled, snapshot.time, changes)
        kind = limited or kind
        steps += reasons
    elif wanted == current:
        kind, reasons = _enough(spec, snapshot)
        steps += reasons
    return Decision(target, "scale" if target != current else kind, "; ".join(steps))


def _no_figure(snapshot: Snapshot, missing: Sequence[str]) -> Decision:
    status, reason, message = snapshot.conditions.get("ScalingActive", ("", "", ""))
    why = f" ({reason}: {message})" if status == "False" else ""
    text = f"it has no figure for {' and '.join(map(_name, missing))}{why}, and changes nothing"
    return Decision(snapshot.current, "metrics", text)


def _limited(
    spec: Spec, current: int, settled: int, now: float, changes: Sequence[tuple[float, int]]
) -> tuple[int, str, list[str]]:
    """What policies and limits leave of `settled` pods, the kind of what limited it (empty for nothing), and in words."""
    grows = settled > current
    rules, name = (spec.up, "scaleUp") if grows else (spec.down, "scaleDown")
    bound = limit(rules, current, now, changes, grows)
    allowed = min(settled, bound) if grows else max(settled, bound)
    kind, steps = "", []
    if allowed != settled:
        kind = "policy"
        steps.append(_policy(rules, name, allowed))
    target = min(max(allowed, spec.least), spec.most)
    if target != allowed:
        kind = "most" if grows else "least"
        steps.append(f"{'maxReplicas' if grows else 'minReplicas'} is {target}")
    return target, kind, steps


def _wanted(spec: Spec, snapshot: Snapshot) -> tuple[int, str, list[str]]:
    """The most that a metric asks for, the arithmetic of all, and the metrics without a figure."""
    ready = snapshot.current if snapshot.ready is None else min(snapshot.ready, snapshot.current)
    # Only where it would grow do pods that are not ready count
    unready = snapshot.current - ready if ready else 0
    each, words = [], []
    without = [metric for metric in spec.targets if snapshot.uses.get(metric) is None]
    for metric, target in spec.targets.items():
        use = snapshot.uses.get(metric)
        if use is None:
            continue
        found = desired_pods(snapshot.current, use, target, spec, unready=unready)
        each.append(found)
        name = _name(metric)
        if _near(_ratio(use, target), spec):
            rules = spec.up if use > target else spec.down
            words.append(
                f"{name} use {use:g} % is within {rules.tolerance * 100:g} % of the target {target:g} %, which asks for no change"
            )
        elif unready:
            words.append(
                f"{name} use {use:g} %, target {target:g} %, {unready} of {snapshot.current} pods not ready: asks for {found}"
            )
        else:
            words.append(
                f"{name} use {use:g} %, target {target:g} %: ceil({snapshot.current} × {use:g} / {target:g}) = {found}"
            )
    if len(each) > 1:
        words.append(f"the most of these is {max(each)}")
    return max(each, default=snapshot.current), "; ".join(words), without


def _name(metric: str) -> str:
    return "CPU" if metric == "cpu" else metric


def _window(spec: Spec, snapshot: Snapshot, wanted: int, settled: int, history: Sequence[tuple[float, int]]) -> str:
    shrinks = wanted < settled
    rules = spec.down if shrinks else spec.up
    holding = [at for at, pods in history if at > snapshot.time - rules.window and (pods > wanted) == shrinks]
    left = max(holding, default=snapshot.time) + rules.window - snapshot.time
    extreme = "up to" if shrinks else "as few as"
    return (
        f"in the last {rules.window} s {extreme} {settled} were asked for, so {settled} "
        f"(stabilisation window, {left:.0f} s of it left at most)"
    )


def _policy(rules: Rules, name: str, held: int) -> str:
    if rules.select == "Disabled":
        return f"{name} is switched off (selectPolicy Disabled)"
    shown = " and ".join(map(str, rules.policies))
    return f"{name} allows {shown} (selectPolicy {rules.select}), so {held}"


def _enough(spec: Spec, snapshot: Snapshot) -> tuple[str, list[str]]:
    """Why as many pods are asked for as there are: the kind of the reason, and what would have to change for fewer."""
    current = snapshot.current
    near = [m for m, t in spec.targets.items() if (u := snapshot.uses.get(m)) is not None and _near(_ratio(u, t), spec)]
    if current <= spec.least:
        return "tolerance" if near else "enough", []
    words = []
    holders = []
    for metric, target in spec.targets.items():
        use = snapshot.uses.get(metric)
        if use is not None and desired_pods(current, use, target, spec) >= current:
            below = min(target * (current - 1) / current, target * (1 - spec.down.tolerance))
            holders.append(metric)
            words.append(f"it shrinks when {_name(metric)} use is below {below:.0f} %")
    if holders == ["memory"]:
        return "memory", [
            *words,
            "a process seldom gives back memory that it has taken, so pods stay although they have little to do",
        ]
    return "tolerance" if near else "enough", words


def explain(spec: Spec, snapshots: Iterable[Snapshot]) -> list[tuple[float, str]]:
    """Time and sentence of each scaling, and of each new reason not to scale.

    What was asked for before the first snapshot is not known; there the autoscaler's own conditions decide.
    """
    found: list[tuple[float, str]] = []
    history: list[tuple[float, int]] = []
    changes: list[tuple[float, int]] = []
    reported: tuple[str, int] | None = None
    before: Snapshot | None = None
    for snapshot in snapshots:
        if not snapshot.conditions and not snapshot.uses:
            # Made just now, and not looked at by its controller yet
            continue
        time, current, desired = snapshot.time, snapshot.current, snapshot.desired
        decision = decide(spec, snapshot, history, changes)
        if any(use is not None for use in snapshot.uses.values()):
            history.append((time, _wanted(spec, snapshot)[0]))
        if desired and desired != current:
            if before is None or (before.current, before.desired) != (current, desired):
                changes.append((time, desired - current))
                aside = "" if decision.desired == desired else f"; {_controller_says(snapshot)}"
                found.append((time, f"From {current} to {_pods(desired)}: {decision.text}{aside}."))
            reported = None
        else:
            kind, text = _reason_to_stay(snapshot, decision, changes)
            if (kind, current) != reported and not (kind in ("enough", "off") and current <= spec.least):
                found.append((time, f"Stays at {_pods(current)}: {text}."))
            reported = kind, current
        before = snapshot
    return found


def _reason_to_stay(snapshot: Snapshot, decision: Decision, changes: Sequence[tuple[float, int]]) -> tuple[str, str]:
    """Kind and words; where it would scale by what is known here, the controller knows more."""
    if decision.kind != "scale":
        return decision.kind, decision.text
    new = any(delta > 0 and snapshot.time - at <= NEW_POD for at, delta in changes)
    aside = "; pods that are new may have no figure yet, and count as 0 %" if new else ""
    return "window", f"{decision.text}{aside}; {_controller_says(snapshot)}"


def _pods(count: int) -> str:
    return f"{count} pod{'s' * (count != 1)}"


def _controller_says(snapshot: Snapshot) -> str:
    """The conditions that speak of limits, in the controller's words."""
    messages = [
        snapshot.conditions[name][2] for name in ("AbleToScale", "ScalingLimited") if name in snapshot.conditions
    ]
    words = [message.rstrip(".") for message in messages]
    return f"the autoscaler says: {'; '.join(words) or 'nothing'}"
