"""``python -m vae_lib`` is the ``vae`` command; torchrun needs it in this form."""

import sys

from vae_lib.cli import main

sys.exit(main())
