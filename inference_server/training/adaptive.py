"""How often to augment, from how sure the discriminator is of the data set (2006.06676, section 3)."""

from __future__ import annotations

MOST = 0.8
"""Below this probability the generator hardly ever learns the augmentations themselves (section 2.2 of the paper);
above it, it may."""


def adapt(probability: float, mean_sign: float, images: int, target: float = 0.6, ramp: int = 500_000) -> float:
    """Return the probability of augmentation after some more images.

    A discriminator that knows the data set by heart is sure of its pictures: the mean of the sign of its scores, r_t in
    the paper, comes near 1. The probability rises while the mean is above the target and falls while it is below,
    always at the same pace.

    Args:
        probability: the probability in use.
        mean_sign: E[sign(D(x))] over pictures x of the data set, in -1..1; a positive score means "real".
        images: how many were seen since the last change.
        target: what the mean should become.
        ramp: this many images take the probability from 0 to 1.

    Returns:
        The new probability, in 0..``MOST``.
    """
    if mean_sign == target:
        return min(MOST, max(0.0, probability))
    step = images / ramp
    return min(MOST, max(0.0, probability + (step if mean_sign > target else -step)))
