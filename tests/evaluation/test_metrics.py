"""Metrics on numbers small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.backends.result import RunResult
from neurodeploy.errors import UsageError
from neurodeploy.evaluation import FiringRates, check_labels, evaluate_logits
from neurodeploy.evaluation.metrics import paired_error, pearson

LABELS = np.array([0, 1, 1, 0])
FLOAT = np.array([[2.0, 1], [0, 3], [1, 4], [5, 0]])
INTEGER = np.array([[2, 1], [0, 3], [9, 4], [5, 0]])


def test_accuracy_drop_and_agreement() -> None:
    found = evaluate_logits("reference", INTEGER, LABELS, FLOAT)
    assert (found.samples, found.float_accuracy, found.integer_accuracy) == (4, 100.0, 75.0)
    assert (found.drop, found.agreement) == (25.0, 75.0)
    assert found.drop_error == pytest.approx(100 * np.std([0, 0, 1, 0], ddof=1) / 2)
    assert found.correlation == pytest.approx(np.corrcoef(INTEGER.ravel(), FLOAT.ravel())[0, 1])


def test_without_a_float_model_nothing_is_made_up() -> None:
    found = evaluate_logits("onnx", INTEGER, LABELS)
    assert found.integer_accuracy == 75.0
    assert found.float_accuracy is found.drop is found.agreement is found.correlation is None


def test_errors_that_cancel_still_have_an_error() -> None:
    before, after = np.array([True, False, True, True]), np.array([False, True, True, True])
    assert paired_error(before, after) == pytest.approx(100 * np.sqrt(2 / 3) / 2)
    assert paired_error(before[:1], after[:1]) is None


def test_pearson_of_a_constant_is_undefined() -> None:
    assert pearson(np.ones(3), np.arange(3.0)) is None
    assert pearson(np.arange(3.0), 7 - 2 * np.arange(3.0)) == pytest.approx(-1)


def test_firing_rates_add_up_over_runs() -> None:
    rates = FiringRates()
    for ones, samples in ((3, 1), (1, 2)):
        spikes = np.zeros((samples, 2, 4), np.uint8)
        spikes.ravel()[:ones] = 1
        rates.add(RunResult("reference", np.zeros((samples, 2), np.int64), 1.0, {"lif": spikes}))
    assert rates.samples == 3
    assert rates.rates() == {"lif": 4 / 24}


BAD = [
    (np.zeros(3, np.int64), "ND-V001"),
    (np.zeros((4, 1), np.int64), "ND-V001"),
    (np.zeros(4), "ND-V001"),
    (np.array(["a"] * 4), "ND-V001"),
    (np.ma.masked_equal(np.array([0, 1, 1, 0]), 1), "ND-V001"),
    (np.array([0, 1, 2, 0]), "ND-V002"),
    (np.array([0, -1, 1, 0]), "ND-V002"),
]


@pytest.mark.parametrize(("labels", "code"), BAD)
def test_bad_labels_are_named(labels: object, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_labels(labels, 4, 2)
    assert [f.code for f in caught.value.findings] == [code]


def test_an_array_with_nothing_masked_is_an_array() -> None:
    assert (check_labels(np.ma.masked_equal(LABELS, 7), 4, 2) == LABELS).all()
