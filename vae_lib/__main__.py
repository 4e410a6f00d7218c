"""``python -m vae_lib`` is the ``vae`` command; torchrun needs it in this form."""

import sys

from vae_lib.console import quiet_interrupts


def main() -> int:
    """Run the ``vae`` command, which is imported here so that Ctrl-C ends the import quietly."""
    with quiet_interrupts():
        from vae_lib import cli
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
