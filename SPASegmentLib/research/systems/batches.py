"""Training batches for systems that learn from single raters: SPA's own, with every rater's mask beside."""

from __future__ import annotations

import numpy as np

from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.research.training.batches import BatchMaker


class RaterBatchMaker(BatchMaker):
    """The batches SPA gets for the same seed: patients, clicks, targets, zoom and augmentation.

    `Batch.users` (B, 1 + R, G, G) holds the drawn target and then every rater's mask, empty ones too.
    """

    def __init__(self, images: np.ndarray, masks: np.ndarray, config: SPAConfig, region_known: float) -> None:
        super().__init__(images, masks, config, region_known, 0.0, 1 + masks.shape[1])

    def _others(self, index: int, click: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        return np.asarray(self.masks[index])
