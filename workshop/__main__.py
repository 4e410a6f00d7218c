"""``python -m workshop``: put models into the box, renew its cards, make the README's tables."""

import sys
from pathlib import Path

from tyro.extras import subcommand_cli_from_dict

from vae_lib.errors import InputError
from vae_lib.faces import open_faces
from vae_lib.pretrained import any_beta_names, pretrained_names


def ship(
    weights: Path,
    commit: str,
    name: str | None = None,
    data: Path | None = None,
    synthetic: bool = False,
    ids_of: str | None = None,
) -> None:
    """Put a model into the box: float16 weights, test measures, gallery and card.

    Parameters
    ----------
    weights
        A .pth file that vae train or vae sweep wrote.
    commit
        The commit whose code trained it.
    name
        Under which it will be loaded; the file's own by default.
    data
        The folder of the faces that it was trained on; CELEBA_ROOT if left out.
    synthetic
        It was trained on the drawn faces.
    ids_of
        The model whose gallery's faces it shall show, so that both can stand side by side.
    """
    from workshop import ship as shipping

    faces = open_faces(data, kind="synthetic" if synthetic else "images")
    print(shipping.ship(weights, faces, commit, name, ids_of))


def codes(data: Path | None = None, synthetic: bool = False) -> None:
    """Measure anew where codes live, for the galleries of the models in the box.

    Parameters
    ----------
    data
        The folder of the faces that they were trained on; CELEBA_ROOT if left out.
    synthetic
        Those of the drawn faces.
    """
    from workshop.ship import fit_codes

    print("\n".join(fit_codes(open_faces(data, kind="synthetic" if synthetic else "images"))))


def betas(data: Path | None = None) -> None:
    """Make the galleries, the tables of β and the cards of the networks for every β in the box.

    Parameters
    ----------
    data
        The folder of CelebA; CELEBA_ROOT if left out.
    """
    from workshop.ship import ship_beta_table

    ship_beta_table("vae_any_beta", open_faces(data, kind="images"), "vae_celeba")
    ship_beta_table("vae_any_beta_synthetic", open_faces(kind="synthetic"), "vae_mig_best")


def cards() -> None:
    """Write the cards of all models in the box anew, from the facts that travel with them."""
    from workshop.ship import write_card

    for name in pretrained_names() + any_beta_names():
        write_card(name)


def classifier(
    data: Path | None = None, epochs: int = 4, seed: int = 0, keep: bool = False
) -> None:
    """Train the attribute classifier whose features measure samples, and tell how good it is.

    Parameters
    ----------
    data
        CelebA; CELEBA_ROOT if left out.
    epochs
        Passes over the training faces.
    seed
        Decides initial weights, order and flips.
    keep
        Put it into the box, with its checksum.
    """
    from workshop.classifier import train_and_score

    train_and_score(open_faces(data, kind="images"), epochs, seed, keep)


def report(pca: bool = False, sampled: bool = False, densities: bool = False) -> None:
    """Write results/numbers.json, results/figures and the README's tables.

    Parameters
    ----------
    pca
        First measure PCA and linear VAEs at the runs' rates, and the models in the box by sampled
        codes; wants CELEBA_ROOT.
    sampled
        First measure MIG of sampled codes, of the study's models in the box.
    densities
        First measure samples from the prior and from Gaussians fitted to codes; wants CELEBA_ROOT.
    """
    from workshop.report import write_report

    write_report(pca, sampled, densities)


def epochs(run: Path) -> None:
    """Put the epochs of a run on drawn faces into the box, for the live figure of notebook 1.

    Parameters
    ----------
    run
        The folder of ``vae train --faces synthetic --epochs 10``.
    """
    from vae_lib.course.live.epochs import SHIPPED, Epochs

    Epochs(run).keep(SHIPPED)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0, or 2 where what it was given is of no use."""
    commands = {c.__name__: c for c in (ship, codes, betas, cards, classifier, epochs, report)}
    try:
        subcommand_cli_from_dict(
            commands, prog="python -m workshop", description=__doc__, args=arguments
        )
    except InputError as error:
        print(f"workshop: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
