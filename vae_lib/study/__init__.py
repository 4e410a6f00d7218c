"""Many runs and what they say: `sweep` trains them, `runs` reads and compares them.

The names of `runs` are handed on from here. Those of `sweep` are not: it imports all of training,
and whoever reads results needs none of that.
"""

from vae_lib.study.runs import (
    METRICS,
    QUALITIES,
    RESULTS,
    Comparison,
    Run,
    Share,
    Summary,
    best_and_worst,
    beta_vae_at,
    compare_at_equal_kl,
    mig_ceiling,
    number,
    prices,
    read_run,
    read_runs,
    scores_of_factors,
    share_of_setting,
    share_of_wins,
    share_with_interval,
    summarise,
)

__all__ = [
    "METRICS",
    "QUALITIES",
    "RESULTS",
    "Comparison",
    "Run",
    "Share",
    "Summary",
    "best_and_worst",
    "beta_vae_at",
    "compare_at_equal_kl",
    "mig_ceiling",
    "number",
    "prices",
    "read_run",
    "read_runs",
    "scores_of_factors",
    "share_of_setting",
    "share_of_wins",
    "share_with_interval",
    "summarise",
]
