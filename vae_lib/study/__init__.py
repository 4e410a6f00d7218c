"""Many runs and what they say: `sweep` trains them, `runs` reads them, `comparisons` compares them.

The names of the last two are handed on from here. Those of `sweep` are not: it imports all of
training, and whoever reads results needs none of that.
"""

from vae_lib.study.comparisons import Comparison as Comparison
from vae_lib.study.comparisons import Share as Share
from vae_lib.study.comparisons import Summary as Summary
from vae_lib.study.comparisons import best_and_worst as best_and_worst
from vae_lib.study.comparisons import beta_vae_at as beta_vae_at
from vae_lib.study.comparisons import compare_at_equal_kl as compare_at_equal_kl
from vae_lib.study.comparisons import prices as prices
from vae_lib.study.comparisons import share_of_setting as share_of_setting
from vae_lib.study.comparisons import share_of_wins as share_of_wins
from vae_lib.study.comparisons import share_with_interval as share_with_interval
from vae_lib.study.comparisons import summarise as summarise
from vae_lib.study.runs import METRICS as METRICS
from vae_lib.study.runs import QUALITIES as QUALITIES
from vae_lib.study.runs import RESULTS as RESULTS
from vae_lib.study.runs import Run as Run
from vae_lib.study.runs import mig_ceiling as mig_ceiling
from vae_lib.study.runs import read_run as read_run
from vae_lib.study.runs import read_runs as read_runs
from vae_lib.study.runs import scores_of_factors as scores_of_factors
