"""How much decoded draws from the prior look like faces: a distance that needs no download.

A small classifier of CelebA's 40 attributes ships with the package. The *Fréchet distance in its
features* compares two sets of images by the mean and covariance of what its last layer sees. The
formula is that of the "FID" of papers (Heusel et al. 2017), the features are not: the numbers
compare with each other, never with a published FID.
"""

from collections.abc import Sequence

import numpy as np
import torch

from vae_lib.errors import InputError
from vae_lib.evaluation import check_images
from vae_lib.faces.dataset import Faces
from vae_lib.latent import decode_images, encode_images, gaussian_of_codes
from vae_lib.model import VAE, unwrap
from vae_lib.pretrained.classifier import check_celeba, features, load_classifier


def frechet_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """Squared Fréchet distance between Gaussians fitted to two sets of features.

    |m_a − m_b|² + tr(C_a + C_b − 2 (C_a C_b)^½), with means m and covariances C
    (Dowson & Landau 1982; Heusel et al. 2017, arXiv:1706.08500, Eq. 6).

    Parameters
    ----------
    features_a, features_b : ndarray, shapes (n_a, d) and (n_b, d)
        Two rows or more each. The distance of finite sets is biased upwards, by roughly an
        amount in proportion to 1/n_a + 1/n_b: two samples of the same images are not at 0.
        Compare distances of equal counts, well above d.

    Returns
    -------
    float
        0 for equal mean and covariance; in squared units of the features.

    Raises
    ------
    InputError
        If the shapes do not fit or a set has fewer than two rows.

    Examples
    --------
    The means are 3 apart, the variances equal:

    >>> frechet_distance(np.array([[0.0], [2.0]]), np.array([[3.0], [5.0]]))
    9.0
    """
    a, b = (np.asarray(values, dtype=np.float64) for values in (features_a, features_b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise InputError(
            f"Found features of shapes {a.shape} and {b.shape}; a covariance needs (n, d) with "
            "n ≥ 2, and both the same d."
        )
    covariance_a, covariance_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    # tr (C_a C_b)^½ = tr (C_a^½ C_b C_a^½)^½, and the matrix on the right is symmetric, so that
    # its eigenvalues are real and at least 0, but for rounding.
    values, vectors = np.linalg.eigh(covariance_a)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ covariance_b @ root).clip(0)).sum()
    means = np.square(a.mean(0) - b.mean(0)).sum()
    return max(0.0, float(means + np.trace(covariance_a) + np.trace(covariance_b) - 2 * shared))


def sample_distance(model: VAE, faces: Faces, *, count: int | None = None, seed: int = 0) -> float:
    """Fréchet distance, in the shipped classifier's features, of decoded prior draws to faces.

    Parameters
    ----------
    model : VAE
        Of 64x64 faces.
    faces : Faces
        CelebA faces that the model was not trained on: ``faces.split("test")``.
    count : int, optional
        How many draws to decode; as many as there are faces by default. The distance is biased
        upwards at small counts: compare models at one count.
    seed : int
        Seeds the draws.

    Returns
    -------
    float
        Smaller is better; `reference_distances` gives it a scale.

    Raises
    ------
    InputError
        If the faces are not CelebA (the classifier knows nothing of others), their size is not
        the model's, or ``count`` is below 2.

    Notes
    -----
    The features notice blur and missing detail first, and lack of variety late: fifty sharp
    photographs over and over lie nearer to the test faces than a VAE's softer draws do. So the
    distance ranks models of one kind, and does not tell whether a model invents or remembers.
    ``benchmarks/sample_distance.py`` measures how it responds.

    Examples
    --------
    Draws of an untrained model are further from black pictures than these from themselves:

    >>> black = Faces.from_arrays(np.zeros((5, 64, 64, 3), np.uint8), name="celeba", splits=[2] * 5)
    >>> sample_distance(VAE(), black) > frechet_distance(np.zeros((5, 96)), np.zeros((5, 96)))
    True
    """
    check_celeba(faces)
    model = unwrap(model)
    check_images(model, faces.images)
    count = len(faces) if count is None else count
    if count < 2:
        raise InputError(f"count is {count}; a covariance needs at least 2 draws.")
    classifier, _ = load_classifier(model.device)
    drawn = _decoded(model, _prior(model, count, seed))
    return frechet_distance(features(classifier, drawn), features(classifier, faces.images))


def reference_distances(model: VAE, faces: Faces, *, seed: int = 0) -> dict[str, float | int]:
    """What `sample_distance` can be expected to be: the same distance for sets of known worth.

    Parameters
    ----------
    model : VAE
        Of 64x64 faces.
    faces : Faces
        CelebA, with the train split that the model knows and a test split.
    seed : int
        Seeds which training faces are taken, and all draws.

    Returns
    -------
    dict
        Distances to the test faces, each of as many images as there are test faces
        (``images``): of ``train_faces``, the floor, which is not 0 only because the sets are
        finite; of ``reconstructions``, decoded posterior means of the test faces themselves;
        of ``aggregate_posterior``, decoded draws from the posteriors of training faces, which
        can be nearer, since posterior means decode to softer images than draws do; of ``prior``,
        which is `sample_distance`; of ``mean_face``, one image over and over; of ``noise``,
        uniform in every pixel.

    Raises
    ------
    InputError
        As `sample_distance`.

    Examples
    --------
    >>> black = Faces.from_arrays(np.zeros((50, 64, 64, 3), np.uint8), name="celeba")
    >>> far = reference_distances(VAE(), black)
    >>> far["images"], round(far["train_faces"]), far["noise"] > 1
    (5, 0, True)
    """
    check_celeba(faces)
    model = unwrap(model)
    check_images(model, faces.images)
    test, train = faces.split("test"), faces.split("train")
    count = min(len(test), len(train))
    rng = np.random.default_rng(seed)
    others = train.images[np.sort(rng.permutation(len(train))[:count])]
    mu, logvar = encode_images(model, others)
    codes = mu + np.exp(logvar / 2) * rng.standard_normal(mu.shape, dtype=np.float32)
    mean_face = np.mean(others, axis=0, dtype=np.float64).round().astype(np.uint8)

    classifier, _ = load_classifier(model.device)
    real = features(classifier, test.images)
    distances = {
        name: frechet_distance(features(classifier, images), real)
        for name, images in {
            "train_faces": others,
            "reconstructions": _decoded(model, encode_images(model, test.images)[0]),
            "aggregate_posterior": _decoded(model, codes),
            "prior": _decoded(model, _prior(model, count, seed)),
            "mean_face": np.stack([mean_face, mean_face]),
            "noise": rng.integers(0, 256, others.shape, dtype=np.uint8),
        }.items()
    }
    return distances | {"images": count}


def density_distances(
    model: VAE, faces: Faces, *, seeds: Sequence[int] = (0, 1, 2)
) -> dict[str, list[float]]:
    """Fréchet distance of decoded draws from three densities of codes, for each seed of the draws.

    Parameters
    ----------
    model : VAE
        Of 64x64 faces.
    faces : Faces
        CelebA. Gaussians are fitted to the codes of the valid split, with all covariances; the
        distance is to the test split, of as many draws.
    seeds : sequence of int
        One set of draws for each. The three densities get the same noise.

    Returns
    -------
    dict
        ``prior``; ``fitted_to_means``, a Gaussian with the moments of the posterior means;
        ``fitted_to_draws``, with those of the aggregate posterior, as `gaussian_of_codes` and
        `Gallery.sample_codes` have it; ``reconstructions``, one number, of the test faces.

    Raises
    ------
    InputError
        As `sample_distance`.

    Notes
    -----
    Ghosh et al. 2020, arXiv:1903.12436, sec. 4, fit such an *ex-post density* without training
    anything again.

    Examples
    --------
    >>> black = Faces.from_arrays(np.zeros((50, 64, 64, 3), np.uint8), name="celeba")
    >>> found = density_distances(VAE(), black, seeds=[0])
    >>> [len(values) for values in found.values()]
    [1, 1, 1, 1]
    """
    check_celeba(faces)
    model = unwrap(model)
    check_images(model, faces.images)
    test = faces.split("test")
    classifier, _ = load_classifier(model.device)
    real = features(classifier, test.images)

    def far(codes: np.ndarray) -> float:
        return frechet_distance(features(classifier, _decoded(model, codes)), real)

    mu, logvar = encode_images(model, faces.split("valid").images)
    fits = {
        "fitted_to_means": gaussian_of_codes(mu, np.full_like(logvar, -np.inf)),
        "fitted_to_draws": gaussian_of_codes(mu, logvar),
    }
    found: dict[str, list[float]] = {"prior": [], "fitted_to_means": [], "fitted_to_draws": []}
    for seed in seeds:
        noise = _prior(model, len(test), seed)
        found["prior"].append(far(noise))
        for name, (mean, covariance) in fits.items():
            # Of few faces the means' covariance has no Cholesky factor; a root it has.
            values, vectors = np.linalg.eigh(covariance)
            root = vectors * np.sqrt(values.clip(0)) @ vectors.T
            found[name].append(far(mean + noise @ root))
    return found | {"reconstructions": [far(encode_images(model, test.images)[0])]}


def _prior(model: VAE, count: int, seed: int) -> np.ndarray:
    """Draws from N(0, I), (count, latent_size), the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, model.config.latent_size, generator=generator).numpy()


def _decoded(model: VAE, codes: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Images of codes, rounded to uint8 as the faces are that they are compared with."""
    starts = range(0, len(codes), batch_size)
    return np.concatenate([decode_images(model, codes[i : i + batch_size]) for i in starts])
