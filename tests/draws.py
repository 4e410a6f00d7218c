"""Random draws that Python and JavaScript share: an independent copy of browser/numbers.mjs."""

import math

import numpy as np


def seeded_normal(seed: int, count: int) -> np.ndarray:
    """Draws from N(0, 1) that JavaScript repeats: what "random sample" decodes for a seed.

    Uniform numbers of the 32-bit generator Mulberry32 (T. Ettinger, 2017), turned to normal ones
    by Box and Muller (1958).

    Parameters
    ----------
    seed : int
        From 0 to 2³² − 1.
    count : int
        How many.

    Returns
    -------
    ndarray of float32, shape (count,)
    """
    state, mask = seed & 0xFFFFFFFF, 0xFFFFFFFF

    def uniform() -> float:
        nonlocal state
        state = (state + 0x6D2B79F5) & mask
        t = ((state ^ (state >> 15)) * (state | 1)) & mask
        t ^= (t + ((t ^ (t >> 7)) * (t | 61) & mask)) & mask
        return ((t ^ (t >> 14)) + 0.5) / 2**32

    draws = []
    while len(draws) < count:
        radius, angle = math.sqrt(-2 * math.log(uniform())), 2 * math.pi * uniform()
        draws += [radius * math.cos(angle), radius * math.sin(angle)]
    return np.array(draws[:count], np.float32)
