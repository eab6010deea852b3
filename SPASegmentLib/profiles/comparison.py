"""How two profiles differ in what they have learnt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SPASegmentLib.profiles.profile import Profile
from SPASegmentLib.profiles.summary import tendency


@dataclass(frozen=True)
class Comparison:
    """Two profiles in numbers.

    same_model: only then a divergence is known: Jensen-Shannon, of their posteriors over components, in bits:
    0 the same, 1 nothing in common. changes: median change of area against the consensus as a share, or None
    where not known. shared_images: images both have learnt from.
    """

    names: tuple[str, str]
    same_model: bool
    divergence: float | None
    changes: tuple[float | None, float | None]
    images: tuple[int, int]
    shared_images: int

    @property
    def sentence(self) -> str:
        """In words."""
        if self.divergence is None:
            return "They belong to different models; only their masks can be compared."
        words = ("as good as the same", "alike", "different", "opposed")
        level = sum(self.divergence > limit for limit in (0.05, 0.3, 0.7))
        return f"The two preferences are {words[level]} (divergence {self.divergence:.2f} of 1)."


def compare(a: Profile, b: Profile) -> Comparison:
    """Compare what two profiles have learnt."""
    same = (a.model.hash, a.model.components) == (b.model.hash, b.model.components)
    images = [{item.image for item in profile.slices} for profile in (a, b)]
    return Comparison(
        names=(a.name, b.name),
        same_model=same,
        divergence=jensen_shannon(a.posterior(), b.posterior()) if same else None,
        changes=(tendency(a.slices)[0], tendency(b.slices)[0]),
        images=(a.n_images, b.n_images),
        shared_images=len(images[0] & images[1]),
    )


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Divergence in bits of two distributions (M,): 0 for equal ones, 1 for disjoint ones."""
    middle = (p + q) / 2

    def bits(r: np.ndarray) -> float:
        held = r > 0
        return float((r[held] * np.log2(r[held] / middle[held])).sum())

    return min(1.0, max(0.0, (bits(p) + bits(q)) / 2))
