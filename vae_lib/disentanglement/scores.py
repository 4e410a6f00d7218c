"""Every score at once."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from vae_lib.disentanglement.codes import BINS, check, top_two_gap
from vae_lib.disentanglement.information import (
    factor_entropies,
    information_gaps,
    mutual_information,
)
from vae_lib.disentanglement.interventions import (
    Sampler,
    beta_vae_score,
    factor_vae_score,
    pool_sampler,
)
from vae_lib.disentanglement.prediction import TREE_CODES, dci, sap_matrix
from vae_lib.errors import InputError


def scores(
    codes: np.ndarray,
    factors: np.ndarray,
    names: Sequence[str],
    *,
    kind: Literal["factors", "attributes"] = "factors",
    discrete: Sequence[bool] | None = None,
    bins: int = BINS,
    sample: Sampler | None = None,
    at_most: int = TREE_CODES,
    seed: int = 0,
) -> dict[str, Any]:
    """Every metric at once, as a dictionary that JSON can hold.

    Nearly all of the time goes into the boosted trees of `dci`: half a minute on one core for 16
    dimensions, 13 factors and 5,000 codes, in proportion to each of the three.

    Parameters
    ----------
    codes, factors, names, discrete, bins
        As in `mutual_information`. 5,000 to 10,000 codes are a good number.
    kind : {"factors", "attributes"}
        Factors are independent and fully behind the pictures. Attributes, as CelebA's, are not:
        the result is marked as a proxy, and has no FactorVAE and β-VAE score, which need a
        factor that can be held while the others vary freely.
    sample : callable, optional
        For these two scores; `pool_sampler` of the same codes if not given.
    at_most : int
        Codes that `dci` uses.
    seed : int
        Of all draws.

    Returns
    -------
    dict
        ``kind``, ``proxy``; ``codes``, ``latent_size``, ``constant_dimensions``, ``bins``; the
        scores ``mig``, ``sap``, ``dci_disentanglement``, ``dci_completeness``,
        ``dci_informativeness`` and, for factors, ``factor_vae``, ``beta_vae`` and what these two
        would be by ``chance``; ``per_factor``: by name ``entropy`` (nats), the ``mig`` and
        ``sap`` gap, ``informativeness``, and the ``best_dimension`` (of most information);
        ``mutual_information`` (nats) and ``importance``, lists of shape (latent_size, k).

    Raises
    ------
    InputError
        As the metrics, or if there is no such kind.

    Examples
    --------
    >>> factors = np.array([[i, j] for i in range(25) for j in range(25)])
    >>> found = scores(factors, factors, ["yaw", "light"], bins=25)
    >>> found["kind"], found["proxy"], found["codes"], round(found["mig"], 2)
    ('factors', False, 625, 1.0)
    >>> round(found["per_factor"]["light"]["entropy"], 3)  # ln 25
    3.219
    >>> found["per_factor"]["light"]["best_dimension"]
    1
    """
    if kind not in ("factors", "attributes"):
        raise InputError(f"There is no kind {kind!r}; use 'factors' or 'attributes'.")
    if sample is not None and kind == "attributes":
        raise InputError("Attributes cannot be held one by one; leave sample out.")
    problem = check(codes, factors, names, discrete, bins)
    if len(set(problem.names)) < len(problem.names):
        raise InputError("Two factors have the same name; give each its own.")
    options: dict[str, Any] = {"names": problem.names, "discrete": problem.discrete}
    if kind == "factors" and sample is None:
        sample = pool_sampler(codes, factors, names=problem.names, seed=seed)
    information = mutual_information(codes, factors, bins=bins, **options)
    entropies = factor_entropies(factors, bins=bins, **options)
    gaps = information_gaps(information, entropies)
    sap_gaps = top_two_gap(sap_matrix(codes, factors, **options))
    trees = dci(codes, factors, at_most=at_most, seed=seed, **options)
    result: dict[str, Any] = {
        "kind": kind,
        "proxy": kind == "attributes",
        "codes": len(problem.codes),
        "latent_size": problem.codes.shape[1],
        "constant_dimensions": int((~problem.varies).sum()),
        "bins": bins,
        "mig": float(gaps.mean()),
        "sap": float(sap_gaps.mean()),
        "dci_disentanglement": trees.disentanglement,
        "dci_completeness": trees.completeness,
        "dci_informativeness": trees.informativeness,
    }
    if sample is not None:
        result["factor_vae"] = factor_vae_score(sample, len(problem.names), seed=seed)
        result["beta_vae"] = beta_vae_score(sample, len(problem.names), seed=seed)
        result["chance"] = 1 / len(problem.names)
    result["per_factor"] = {
        name: {
            "entropy": float(entropies[j]),
            "mig": float(gaps[j]),
            "sap": float(sap_gaps[j]),
            "informativeness": float(trees.held_out[j]),
            "best_dimension": int(information[:, j].argmax()),
        }
        for j, name in enumerate(problem.names)
    }
    result["mutual_information"] = information.tolist()
    result["importance"] = trees.importance.tolist()
    return result
