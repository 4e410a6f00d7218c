"""How disentangled a code is: the field's metrics, for codes whose causes are known.

Two questions are asked of ``latent_size`` dimensions and ``k`` factors. Does a factor sit in one
dimension (`mig`, `sap`, completeness)? Does a dimension know one factor (disentanglement)? The
FactorVAE and β-VAE scores ask them by experiment: hold one factor, see which dimension stands
still. Locatello et al. 2019 (arXiv:1811.12359) compare all of these and find that they agree
less than one would hope, so no score is reported alone.

- Codes are any numbers, such as posterior means; dimensions are standardised first, so their
  units do not matter. A dimension that does not vary counts as 0 everywhere. The scale of a VAE's
  code is set by its prior. Dimensions that collapsed to the prior still move by a little, and
  standardising would make that as large as anything else: call `silence_collapsed` first.
- A factor with two values is discrete, any other is continuous, unless ``discrete`` says
  otherwise. Where a metric is defined for discrete factors, continuous ones are cut into ``bins``
  of equal width, and so are codes, as in Locatello et al. 2019, who take 20.
- On CelebA the attributes are correlated and nobody chose them one by one. They are not factors,
  and scores on them are a proxy; `scores` says so in its result.
"""

from vae_lib.disentanglement.auroc import AUROCDifference, total_auroc_difference
from vae_lib.disentanglement.codes import silence_collapsed
from vae_lib.disentanglement.information import (
    factor_entropies,
    information_gaps,
    mig,
    mutual_information,
)
from vae_lib.disentanglement.interventions import (
    Sampler,
    beta_vae_score,
    factor_vae_score,
    pool_sampler,
)
from vae_lib.disentanglement.prediction import DCI, dci, sap, sap_matrix, score_importances
from vae_lib.disentanglement.scores import scores
from vae_lib.disentanglement.udr import udr

__all__ = [
    "DCI",
    "AUROCDifference",
    "Sampler",
    "beta_vae_score",
    "dci",
    "factor_entropies",
    "factor_vae_score",
    "information_gaps",
    "mig",
    "mutual_information",
    "pool_sampler",
    "sap",
    "sap_matrix",
    "score_importances",
    "scores",
    "silence_collapsed",
    "total_auroc_difference",
    "udr",
]
