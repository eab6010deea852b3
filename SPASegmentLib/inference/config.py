"""What decides how the product answers and is no part of a network's weights or configuration."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

DEFAULT_MODEL = "general"
"""The model that answers where none is named."""


@dataclass(frozen=True)
class InferenceConfig:
    """The constants of inference, in one place; symbols are the paper's (Sections 3.3, 3.4; supplement).

    Candidates, what a person is shown of the samples:
    candidates: K, shown at once, where no network says so.
    extra_clusters: clusters beyond K tried in turn until K candidates are distinct.
    kmeans_starts, kmeans_trials, kmeans_steps: starts of which the best result is taken, points tried for
        each further centre (greedy k-means++), steps of Lloyd's algorithm at most.
    speck_pixels, speck_share: components and holes below so many pixels, or below this share of the largest
        component, are specks.
    distinct_pixels, distinct_share: two masks are told apart by at least so many pixels and at least this
        share of the larger one's area.
    visible_share: the same share for the alternatives that a posterior offers, so that a pick says something.
    piece_share: some connected piece of what differs has at least this share of it; before the first answer,
        when large changes are to choose from, smaller pieces do not count at all.
    faint_peak, faint_level: where no cell of the recommendation reaches 0.5 but one exceeds the first, the
        mask is cut at this share of the largest probability.

    Interaction, what the user's answers mean:
    close_enough: Dice at which a user takes a candidate for what they want every other time.
    widening: how much every "none of these" since the last pick widens sigma_m (1 + widening * times).
    further_point_logit: what a further point adds to, or takes from, the logits around it.
    plain_every: one in so many samples keeps the shape the mixture gives it, in training.

    Posterior, what is meant after picks, "none of these" and points (inference/posterior.py):
    particles, moves: hypotheses kept, and Metropolis steps of each after an answer.
    coarse_cells: side of the grid they are compared on.
    level_deviation, shape_deviations: standard deviations, in logits, of a sample's level and of its angular
        harmonics, fitted on LIDC train slices to what its raters drew; for networks that have learnt none of
        their own (`SPAConfig.prior_deviations`).
    pick_softness, pick_error: softness, in Dice, of a user who picks the closest mask, and share of the picks
        made for no reason.
    point_error: probability that a point contradicts what is wanted.
    fresh_share: prior probability of the network's newest samples, beside those of the click.
    jumps: share of the moves that start anew from the prior.
    cuts: probabilities at which the recommendation may be cut.
    considered: masks among which candidates are chosen.
    other_regions, region_softness: regions besides the recommended one whose objects may be meant, and how
        much worth (`region_search._distinct`) makes one e times as likely.
    same_object: Dice from which on two regions found the same.

    Region search, before the object's size is known:
    looks: from one first region before its size counts as known.
    widest_look, scale_step: networks that expect a Dice look at regions up to `widest_look` times the slice's
        longer side, each `scale_step` times as wide as the one before.
    point_margin: share of the region's side at its edges in which a positive point counts as outside.
    doubtful: expected Dice below which a mask carries a warning.
    held_cells: radius in cells of what a point adds to a mask, or takes from it, that does not obey it.
    small_error: a further point mends a small error where it lies less deep in it than this share of the
        mask's diameter (that of the circle of its area).
    reach_depths, reach_share, reach_fade: the mask then changes within so many such depths, or this share of
        the diameter, of the point; in the outer part of that, this share of it, less and less.
    expected_share: weight of the expected Dice beside the certainty when scales are compared.
    larger_share: weight of the share of regions with a smaller mask, when scales are compared.
    first_regions: tried in turn, in default ones, while what is found does not stand out.
    stands_out: contrast (means' difference over deviation) from which on a mask is an object without doubt.
    ring_pixels, least_noise: width of the ring around a mask that it is compared with, and what is added to
        the deviation (pixels are in [0, 1]).
    likely: probability from which on a cell counts in the certainty of a look.
    as_certain: a larger region may be less certain by this.
    area_share, area_doubt: power to which a profile's usual area counts among regions, and probability that
        the object does not follow it.
    settled_size, settled_shift: a region stays where its side would change by less (log ratio) and its centre
        would move by less (sides).

    Preference, what a profile learns (supplement Eq. 1):
    error_rate: share of picks a user makes for no reason the mixture knows.
    prior_counts: samples with which a component's shares lean towards those of all components.
    doubt: probability that the next image does not follow what its user did before.
    area_deviation, area_counts: deviation of the logarithm of the area of what one user means, before
        anything is known of it, and how many objects that counts as.
    result_softness, result_counts: how far, in Dice, a user's mask may be from what their style wants; how
        many observations it counts as.
    fewest_samples, least_covered: a consensus is read off samples only where as many count (Kish's effective
        size) and their components hold this much of the weight without the profile.
    alike_dice, alike_area: another model has come to what was wanted where its recommendation has this Dice
        with the mask or, without one, at most this ratio of areas.
    """

    candidates: int = 4
    extra_clusters: tuple[int, ...] = (0, 1, 2, 4, 8)
    kmeans_starts: int = 4
    kmeans_trials: int = 3
    kmeans_steps: int = 50
    speck_pixels: int = 3
    speck_share: float = 0.02
    distinct_pixels: int = 2
    distinct_share: float = 0.01
    visible_share: float = 0.03
    piece_share: float = 0.01
    faint_peak: float = 0.05
    faint_level: float = 0.5

    close_enough: float = 0.9
    widening: float = 0.5
    further_point_logit: float = 8.0
    plain_every: int = 4

    particles: int = 256
    moves: int = 3
    coarse_cells: int = 32
    level_deviation: float = 1.74
    shape_deviations: tuple[float, ...] = (1.27, 1.04, 0.96, 0.92)
    pick_softness: float = 0.01
    pick_error: float = 0.05
    point_error: float = 0.02
    fresh_share: float = 0.5
    jumps: float = 0.1
    cuts: tuple[float, ...] = (0.35, 0.42, 0.5, 0.58)
    considered: int = 120
    other_regions: int = 7
    region_softness: float = 0.25
    same_object: float = 0.8

    looks: int = 4
    widest_look: float = 2.0
    scale_step: float = 2.0
    expected_share: float = 0.25
    larger_share: float = 0.3
    point_margin: float = 0.03
    doubtful: float = 0.6
    held_cells: float = 2.0
    small_error: float = 0.25
    reach_depths: float = 4.0
    reach_share: float = 0.55
    reach_fade: float = 1 / 3
    first_regions: tuple[float, ...] = (1.0, 2.0, 4.0)
    stands_out: float = 1.5
    ring_pixels: int = 3
    least_noise: float = 0.01
    likely: float = 0.1
    as_certain: float = 0.005
    area_share: float = 0.5
    area_doubt: float = 0.3
    settled_size: float = 0.15
    settled_shift: float = 0.08

    error_rate: float = 0.05
    prior_counts: float = 1.0
    doubt: float = 0.02
    area_deviation: float = 1.1
    area_counts: float = 2.0
    result_softness: float = 0.1
    result_counts: int = 2
    fewest_samples: float = 8.0
    least_covered: float = 0.8
    alike_dice: float = 0.8
    alike_area: float = 1.25

    def digest(self) -> str:
        """Sixteen hexadecimal digits that tell configurations apart."""
        values = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(values.encode()).hexdigest()[:16]


DEFAULT = InferenceConfig()
"""What the product uses."""
