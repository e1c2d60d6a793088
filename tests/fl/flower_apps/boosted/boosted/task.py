"""A booster of stumps on one feature, whose raw form is JSON as that of xgboost.Booster.save_raw("json") is."""

import json

import numpy as np


def load_data(partition_id: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(partition_id).random(200)
    return x, (x > 0.5) * 1.0 + (x > 0.75) * 1.0


class Booster:
    def __init__(self, raw: bytes = b"") -> None:
        self.trees = json.loads(raw)["learner"]["gradient_booster"]["model"]["trees"] if raw else []

    def predict(self, x: np.ndarray) -> np.ndarray:
        total = np.zeros_like(x)
        for tree in self.trees:
            total += np.where(x > tree["split"], tree["right"], tree["left"])
        return total

    def update(self, x: np.ndarray, y: np.ndarray, eta: float) -> None:
        left = y - self.predict(x)

        def error(split: float) -> float:
            return sum(float(part.var()) * part.size for part in (left[x <= split], left[x > split]) if part.size)

        split = min(np.linspace(0.05, 0.95, 19), key=error)
        low, high = (float(part.mean()) if part.size else 0.0 for part in (left[x <= split], left[x > split]))
        self.trees.append({"id": len(self.trees), "split": float(split), "left": eta * low, "right": eta * high})

    def save_raw(self, last: int = 0) -> bytes:
        """The booster, or its `last` trees alone."""
        trees = self.trees[-last:]
        model = {
            "gbtree_model_param": {"num_trees": str(len(trees)), "num_parallel_tree": str(len(trees))},
            "iteration_indptr": [0, len(trees)],
            "trees": trees,
            "tree_info": [0] * len(trees),
        }
        return json.dumps({"learner": {"gradient_booster": {"model": model}}}).encode()
