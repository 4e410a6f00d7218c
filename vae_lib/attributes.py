"""What latent codes know about attributes: probes, single dimensions, directions.

An attribute is a column of labels (CelebA's forty, −1/+1 or 0/1) or of numbers (the factors of
synthetic faces). Labels are scored by ROC-AUC, numbers by R², always on codes that the score was
not fitted on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vae_lib.errors import InputError


@dataclass(frozen=True)
class AttributeScores:
    """How well codes give each of k attributes away, measured on held-out codes."""

    names: tuple[str, ...]
    """The attributes."""
    kind: tuple[str, ...]
    """``"ROC-AUC"`` for labels (0.5 is chance) or ``"R²"`` for numbers (0 is chance)."""
    probe: np.ndarray
    """Of a linear probe on all dimensions, shape (k,)."""
    per_dimension: np.ndarray
    """Of each dimension by itself, whichever way it points, shape (k, latent_size)."""
    best_dimension: np.ndarray
    """The dimension that scores best on the training codes, shape (k,)."""

    @property
    def best(self) -> np.ndarray:
        """The held-out score of the best dimension, shape (k,)."""
        return self.per_dimension[np.arange(len(self.names)), self.best_dimension]


def is_label(column: np.ndarray) -> bool:
    """Whether an attribute is a label (two values at most) and not a number; NaN is no value.

    Examples
    --------
    >>> is_label(np.array([-1, 1, np.nan, 1])), is_label(np.array([0.2, 0.5, 0.9]))
    (True, False)
    """
    return len(np.unique(column[~np.isnan(column)])) <= 2


def usable(*tables: np.ndarray) -> np.ndarray:
    """Which attributes have two values or more in every one of the tables, bool (k,).

    Parameters
    ----------
    *tables : ndarray, each of shape (n, k)
        Labels or numbers of different faces; NaN where nothing is known.

    Examples
    --------
    >>> train, test = np.array([[1, -1], [-1, -1.0]]), np.array([[1, 1], [-1, -1.0]])
    >>> usable(train, test)
    array([ True, False])
    """
    return np.all(
        [[len(np.unique(c[np.isfinite(c)])) > 1 for c in table.T] for table in tables], axis=0
    )


def score_attributes(
    train_mu: np.ndarray,
    train_attributes: np.ndarray,
    test_mu: np.ndarray,
    test_attributes: np.ndarray,
    names: Sequence[str],
) -> AttributeScores:
    """Fit probes on training codes and score them on test codes.

    Parameters
    ----------
    train_mu, test_mu : ndarray or Tensor, shapes (n, latent_size) and (m, latent_size)
        Posterior means.
    train_attributes, test_attributes : ndarray, shapes (n, k) and (m, k)
        Labels or numbers. NaN where one is not known: such a face is left out of that attribute.
    names : sequence of str, length k
        For the result and for errors.

    Returns
    -------
    AttributeScores
        The probe is a logistic regression for labels and a least-squares line for numbers, on
        standardised codes. A single dimension needs no fit to rank labels; for numbers its R² is
        the squared correlation.

    Raises
    ------
    InputError
        If shapes do not match, a code is not a number, or an attribute has one value only.

    Examples
    --------
    The first dimension is the number itself, the second knows nothing of it:

    >>> mu = np.array([[0, 1], [1, -1], [2, -1], [3, 1.0]])
    >>> scores = score_attributes(mu, mu[:, :1], mu, mu[:, :1], ["yaw"])
    >>> scores.kind, scores.probe, scores.per_dimension
    (('R²',), array([1.]), array([[1., 0.]]))
    """
    # Imported here, so that loading directions does not wait for scikit-learn.
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.metrics import r2_score, roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train_mu, train_attributes = _check(train_mu, train_attributes, names)
    test_mu, test_attributes = _check(test_mu, test_attributes, names)
    train_single = _single_dimension_scores(train_mu, train_attributes)
    test_single = _single_dimension_scores(test_mu, test_attributes)
    best = train_single.argmax(axis=1)
    kinds, probes = [], []
    for column in range(len(names)):
        known_mu, wanted = _known(train_mu, train_attributes[:, column])
        seen_mu, truth = _known(test_mu, test_attributes[:, column])
        if is_label(wanted):
            probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
            scores = probe.fit(known_mu, wanted > wanted.mean()).decision_function(seen_mu)
            kinds.append("ROC-AUC")
            probes.append(roc_auc_score(truth > wanted.mean(), scores))
        else:
            probe = make_pipeline(StandardScaler(), LinearRegression())
            kinds.append("R²")
            probes.append(r2_score(truth, probe.fit(known_mu, wanted).predict(seen_mu)))
    return AttributeScores(tuple(names), tuple(kinds), np.array(probes), test_single, best)


def _check(mu: Any, attributes: Any, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Codes and attributes as arrays, once they were found to belong together."""
    mu, attributes = (
        np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
        for values in (mu, attributes)
    )
    if mu.ndim != 2 or attributes.shape != (len(mu), len(names)):
        raise InputError(
            f"Found codes of shape {mu.shape}, attributes of shape {attributes.shape} and "
            f"{len(names)} names; expected (n, latent_size), (n, k) and k names."
        )
    if not np.isfinite(mu).all():
        raise InputError("A code is NaN or infinite; use the codes of a model that has trained.")
    for name, column in zip(names, attributes.T, strict=True):
        known = column[~np.isnan(column)]
        if not np.isfinite(known).all():
            raise InputError(f"The attribute {name!r} is infinite somewhere; mend its column.")
        if len(np.unique(known)) < 2:
            what = "one value only" if len(known) else "no value"
            raise InputError(
                f"The attribute {name!r} has {what} in these {len(mu):,} faces; leave it "
                "out, or take more faces."
            )
    return mu, attributes


def _known(mu: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The codes and values of the faces of which an attribute is known."""
    known = ~np.isnan(column)
    return (mu, column) if known.all() else (mu[known], column[known])


def _single_dimension_scores(mu: np.ndarray, attributes: np.ndarray) -> np.ndarray:
    """ROC-AUC or R² of every attribute from every dimension alone, shape (k, latent_size)."""
    from scipy.stats import rankdata

    # An AUC is a rank sum (Mann and Whitney 1947), so one ranking serves all labels.
    ranks_of_all = rankdata(mu, axis=0)
    scores = np.empty((attributes.shape[1], mu.shape[1]))
    for row, values in enumerate(attributes.T):
        codes, column = _known(mu, values)
        if is_label(column):
            ranks = ranks_of_all if codes is mu else rankdata(codes, axis=0)
            positive = column > column.mean()
            n1, n0 = positive.sum(), (~positive).sum()
            auc = (ranks[positive].sum(0) - n1 * (n1 + 1) / 2) / (n1 * n0)
            scores[row] = np.maximum(auc, 1 - auc)
        else:
            centred = codes - codes.mean(0)
            spread = np.sqrt((centred**2).sum(0)).clip(1e-12)
            other = column - column.mean()
            scores[row] = (other @ centred / (spread * np.sqrt((other**2).sum()))) ** 2
    return scores


def attribute_directions(mu: np.ndarray, attributes: np.ndarray) -> np.ndarray:
    """The step in latent space from the average face without an attribute to that with it.

    For labels this is the difference of means of Larsen et al. (2016, arXiv:1512.09300, Sec. 4.2).
    For numbers it is twice the slope of the codes on the standardised number: the step from one
    standard deviation below its mean to one above. Attributes that go together in the data share
    their directions too: a step towards one takes the others along.

    Parameters
    ----------
    mu : ndarray or Tensor, shape (n, latent_size)
        Posterior means.
    attributes : ndarray, shape (n, k)
        Labels or numbers, none of them constant; NaN where one is not known.

    Returns
    -------
    ndarray of float32, shape (k, latent_size)
        In units of z.

    Raises
    ------
    InputError
        If shapes do not match, a code is not a number, or an attribute has one value only.

    Examples
    --------
    The faces with glasses are at 3 on average, those without at 1:

    >>> mu, glasses = np.array([[0.0], [2.0], [2.5], [3.5]]), np.array([[-1], [-1], [1], [1]])
    >>> attribute_directions(mu, glasses.astype(float))
    array([[2.]], dtype=float32)
    """
    mu, attributes = _check(mu, attributes, [f"number {i}" for i in range(attributes.shape[1])])
    directions = np.empty((attributes.shape[1], mu.shape[1]), np.float32)
    for row, values in enumerate(attributes.T):
        codes, column = _known(mu, values)
        if is_label(column):
            has = column > column.mean()
            directions[row] = codes[has].mean(0) - codes[~has].mean(0)
        else:
            standard = (column - column.mean()) / column.std()
            directions[row] = 2 * (standard @ (codes - codes.mean(0))) / len(codes)
    return directions
