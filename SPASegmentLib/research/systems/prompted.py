"""SAM, MedSAM, MSA and SAM-U as engines: asked with clicks or boxes, never with picks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging import zoom
from SPASegmentLib.imaging.types import Region
from SPASegmentLib.inference.checks import network_pixels
from SPASegmentLib.inference.messages import CancelToken, ModelInfo, ProposalRequest
from SPASegmentLib.research.systems.engine import MapEngine
from SPASegmentLib.research.systems.sam import Encoded, Prompts, Sam
from SPASegmentLib.research.systems.user import Box, BoxRequest, click_on_errors, draw_boxes

if TYPE_CHECKING:
    from SPASegmentLib.research.datasets.case import Case
    from SPASegmentLib.research.evaluation.interaction import Trace
    from SPASegmentLib.research.evaluation.protocol import Draw

ROOM = 1.25
"""How far a region reaches beyond the outermost click, where clicks lie outside of it."""


class ClickedEngine(MapEngine):
    """SAM, MedSAM or MSA: the click, then a click for each further iteration, on the region of the first.

    It keeps nothing: the masks between clicks are computed anew, since each is a prompt of the next.
    """

    user = "clicks on errors"

    def __init__(self, system: Sam, info: ModelInfo, device: str = "auto") -> None:
        super().__init__(system, info, device)  # type: ignore[arg-type]
        self.sam = system
        self._encoded: tuple[object, Encoded] | None = None

    def interact(self, case: Case, draw: Draw, *, iterations: int, seed: int) -> Trace:
        """The interaction of a user who clicks where the mask is wrong; see `user.click_on_errors`."""
        return click_on_errors(self, case, draw, iterations=iterations, seed=seed)

    def _region(self, request: ProposalRequest, cancel: CancelToken | None) -> Region:
        """Found from the first click; larger where a further click lies outside."""
        first = next(p for p in request.points if p.positive)
        region = super()._region(replace(request, points=(first,), answered=()), cancel)
        spacing = request.image.spacing
        reach = max(
            abs(at - centre) * step
            for p in request.points
            for at, centre, step in zip((p.row, p.col), region.centre, spacing, strict=True)
        )
        if 2 * reach <= region.size_mm * (1 - 2 / region.grid):
            return region
        return replace(region, size_mm=2 * ROOM * reach)

    def maps(self, request: ProposalRequest, region: Region, count: int, seed: int) -> np.ndarray:
        """The mask after all clicks: (1, G, G) probabilities."""
        at = zoom.to_grid(np.array([[p.row, p.col] for p in request.points]), region, request.image.spacing)
        points = torch.from_numpy(at[:, ::-1].copy()).float().clamp(0, region.grid - 1)[None].to(self.device)
        labels = torch.tensor([[float(p.positive) for p in request.points]], device=self.device)
        encoded, mask = self._encode(request, region), None
        for count in range(1, points.shape[1] + 1):
            prompts = Prompts(
                points[:, :count], labels[:, :count], None, mask if self.sam.sees_mask else None
            )
            mask = self.sam.choose(*self.sam.decode(encoded, prompts), alone=count == 1)
        assert mask is not None
        return _probabilities(mask[0])

    def _encode(self, request: ProposalRequest, region: Region) -> Encoded:
        """The region's embedding; the last one is kept."""
        image, key = request.image, (request.image.key, region)
        if self._encoded is None or self._encoded[0] != key:
            cells = zoom.sample(image.pixels, image.spacing, region)
            pixels = torch.from_numpy(network_pixels(cells, self.config.image_channels)).to(self.device)
            self._encoded = (key, self.sam.encode(pixels))
        return self._encoded[1]


class BoxedEngine(ClickedEngine):
    """SAM-U: every box is jittered into several, and the mean of their masks recommended.

    Deng et al., 2023: B_1..B_M around the user's box, y = 1/M sum_m SAM(x, B_m); the spread is the
    uncertainty. The region follows the first box, whose size is known without a look.
    """

    user = "draws boxes"

    def interact(self, case: Case, draw: Draw, *, iterations: int, seed: int) -> Trace:
        """The interaction of a user who draws a box at each iteration; see `user.draw_boxes`."""
        return draw_boxes(self, case, draw, iterations=iterations, seed=seed)

    def _region(self, request: ProposalRequest, cancel: CancelToken | None) -> Region:
        image, seed = request.image, next(p for p in request.points if p.positive)
        box = _boxes(request)[0]
        inside = np.zeros(image.shape, dtype=bool)
        inside[_span(box.top, box.bottom, image.shape[0]), _span(box.left, box.right, image.shape[1])] = True
        start = zoom.region_around(
            (seed.row, seed.col),
            self.config.default_region * min(image.spacing),
            self.config.grid,
            image.shape,
            image.spacing,
        )
        return zoom.refine(start, inside, (seed.row, seed.col), image.spacing, factor=self.config.zoom_factor)

    def maps(self, request: ProposalRequest, region: Region, count: int, seed: int) -> np.ndarray:
        """(M per box, G, G) probabilities."""
        system, spacing = self.sam.config, request.image.spacing
        rng = np.random.default_rng((seed, len(_boxes(request))))
        jittered = []
        for box in _boxes(request):
            corners = np.array([[box.top - 0.5, box.left - 0.5], [box.bottom + 0.5, box.right + 0.5]])
            edges = zoom.to_grid(corners, region, spacing)[:, ::-1].reshape(4)  # left, top, right, bottom
            sides = np.tile(edges[2:] - edges[:2], 2)
            jittered.append(edges + system.jitter * sides * rng.uniform(-1, 1, (system.boxes, 4)))
        boxes = torch.from_numpy(np.concatenate(jittered)).float().clamp(0, region.grid - 1).to(self.device)
        nothing = torch.zeros((len(boxes), 0, 2), device=self.device)
        prompts = Prompts(nothing, nothing[..., 0], boxes, None)
        masks, quality = self.sam.decode(_repeated(self._encode(request, region), len(boxes)), prompts)
        return _probabilities(self.sam.choose(masks, quality, alone=False)[:, 0])


def _boxes(request: ProposalRequest) -> tuple[Box, ...]:
    """The boxes of a request. Raises InputError where there is none."""
    boxes = request.boxes if isinstance(request, BoxRequest) else ()
    if not boxes:
        raise InputError("SAM-U is asked with boxes; it only runs in an evaluation.")
    return boxes


def _span(low: float, high: float, size: int) -> slice:
    """Whole pixels from low to high, at least one, inside the slice."""
    first = int(np.clip(round(low), 0, size - 1))
    return slice(first, int(np.clip(round(high), first, size - 1)) + 1)


def _repeated(encoded: Encoded, count: int) -> Encoded:
    parts = (encoded.e_x, encoded.half, encoded.full)
    return Encoded(*(None if p is None else p.expand(count, -1, -1, -1) for p in parts))  # type: ignore[arg-type]


def _probabilities(logits: Tensor) -> np.ndarray:
    return np.ascontiguousarray(logits.float().sigmoid().cpu().numpy(), dtype=np.float32)
