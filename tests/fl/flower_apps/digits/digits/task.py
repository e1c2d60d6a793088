import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression


def load(partition: int, parts: int):
    """Every `parts`-th of the 1,797 digits that scikit-learn brings along; a fifth of them to test."""
    images, labels = load_digits(return_X_y=True)
    images, labels = images[partition::parts] / 16, labels[partition::parts]
    cut = len(labels) * 4 // 5
    return (images[:cut], labels[:cut]), (images[cut:], labels[cut:])


def create(penalty: str) -> LogisticRegression:
    model = LogisticRegression(C={"l2": 1.0}[penalty], max_iter=5, warm_start=True, solver="saga")
    model.classes_ = np.arange(10)
    model.coef_, model.intercept_ = np.zeros((10, 64)), np.zeros(10)
    return model


def weights(model: LogisticRegression):
    return [model.coef_, model.intercept_]


def put(model: LogisticRegression, arrays) -> None:
    model.coef_, model.intercept_ = arrays
