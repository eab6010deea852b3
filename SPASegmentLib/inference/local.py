"""Proposals computed in this process."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from SPASegmentLib.errors import Cancelled, CheckpointError
from SPASegmentLib.imaging import zoom
from SPASegmentLib.imaging.types import Region, SliceImage
from SPASegmentLib.inference.answers import ShownMasks, clustered, steered, to_bytes
from SPASegmentLib.inference.candidates import clean_mask
from SPASegmentLib.inference.checks import check_request, doubts, input_warnings, network_pixels
from SPASegmentLib.inference.config import DEFAULT, DEFAULT_MODEL
from SPASegmentLib.inference.correcting import kept_region
from SPASegmentLib.inference.history import History
from SPASegmentLib.inference.kmeans import one_thread
from SPASegmentLib.inference.messages import (
    CancelToken,
    ModelInfo,
    Proposal,
    ProposalRequest,
    RegionSamples,
)
from SPASegmentLib.inference.region_search import (
    FoundRegion,
    Sight,
    boxed_region,
    carried_region,
    find_regions,
    of_usual_area,
    room_for_pick,
    room_for_points,
)
from SPASegmentLib.inference.steering import likeliest_region
from SPASegmentLib.network.checkpoint import load_checkpoint
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.network.generator import PreferenceDistribution
from SPASegmentLib.network.mixture import Mixture
from SPASegmentLib.network.registry import find_model
from SPASegmentLib.network.spa import ImageEmbedding, Prepared, SPANetwork

logger = logging.getLogger(__name__)

CHUNK = 8
"""Samples decoded at once with the paper's fusion; on a CPU chunks beat one batch."""
CACHED = 16
"""Image embeddings and regions kept, newest last."""


def load_engine(name_or_path: str | Path = DEFAULT_MODEL, device: str = "auto") -> LocalEngine:
    """The engine of a model by name or checkpoint path. device: see `choose_device`.

    Raises CheckpointError where the checkpoint is missing, damaged or does not fit.
    """
    state, header = load_checkpoint(find_model(name_or_path))
    network = SPANetwork(SPAConfig.from_dict(header.config))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"The weights in {Path(name_or_path).name} do not fit its configuration; get the file again."
        ) from error
    about: dict[str, Any] = header.provenance
    window = about.get("window")
    info = ModelInfo(
        name=Path(str(name_or_path)).stem,
        hash=header.hash,
        components=network.config.components,
        trained_on=str(about.get("trained_on", "data its checkpoint does not name")),
        modalities=tuple(about.get("modalities", ())),
        window=(float(window[0]), float(window[1])) if window else None,
    )
    return LocalEngine(network, info, device)


def choose_device(device: str) -> torch.device:
    """ "auto": CUDA where there is one, else the CPU; "mps" only where it is named, as nobody measured it.

    Raises CheckpointError for a device that is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise CheckpointError("No CUDA device is available here; use --device cpu or auto.")
    if device == "mps" and not torch.backends.mps.is_available():
        raise CheckpointError("Apple's graphics processor is not available here; use --device cpu or auto.")
    return torch.device(device)


class LocalEngine:
    """One network, its image embeddings cached by slice, region and seed. Nothing else is kept."""

    def __init__(self, network: SPANetwork, info: ModelInfo, device: str = "auto") -> None:
        self.device = choose_device(device)
        # channels_last is several times faster for these convolutions on a CPU, and no slower on a GPU.
        self.network = network.to(device=self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.config = network.config
        self._info = info
        self._embeddings: OrderedDict[Any, ImageEmbedding] = OrderedDict()
        self._regions: OrderedDict[Any, tuple[FoundRegion, ...]] = OrderedDict()
        self._device_warning: tuple[str, ...] = ()

    @property
    def model(self) -> ModelInfo:
        """The model that answers."""
        return self._info

    def base_mixture(self) -> Mixture:
        """The mixture without image and interaction: what the generator makes of an empty embedding."""
        with torch.inference_mode():
            empty = self.network.generator(torch.zeros(1, 3 * self.config.channels, device=self.device))
        return Mixture(*_arrays(empty))

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """See `Engine.propose`. Falls back to the CPU, and says so, where the GPU cannot do it."""
        check_request(request, self._info)
        try:
            return self._propose(request, cancel)
        except torch.cuda.OutOfMemoryError:
            self._to_cpu("The GPU's memory is full, so this was computed on the CPU.")
        except (RuntimeError, TypeError):  # an operation or a number type that Apple's GPU lacks; its memory
            if self.device.type != "mps":
                raise
            self._to_cpu("Apple's graphics processor could not compute this, so the CPU did.")
        return self._propose(request, cancel)

    def warm(self, image: SliceImage, request: ProposalRequest, cancel: CancelToken | None = None) -> None:
        """Encode a slice ahead of its request, so that the click on it answers sooner.

        Raises Cancelled when `cancel` is set.
        """
        with torch.inference_mode():
            self._region(request, cancel)

    @torch.inference_mode()
    def _propose(self, request: ProposalRequest, cancel: CancelToken | None) -> Proposal:
        started = time.perf_counter()
        region = self._region(request, cancel)
        embedding = self._embed(request, region)
        encoded = time.perf_counter()
        history = History(request, region, self.config, self.device)
        prepared = self.network.prepare(embedding, history.interaction)
        mixture = self._mixture(prepared, request, history)
        z, components = mixture.sample(
            request.n_samples or self.config.samples, np.random.default_rng(request.seed)
        )
        samples = self._decode(prepared, z, history, cancel).sigmoid().numpy()
        with one_thread():
            answer = self._steered if self.config.harmonics else self._clustered
            proposal = answer(request, history, samples, components)
        equal = torch.full((1, len(samples)), 1 / len(samples))
        expected = self.network.calibrated_dice(
            self.network.expected_dice(prepared, torch.from_numpy(samples)[None], equal)
        )
        done = time.perf_counter()
        seconds = {"encode": encoded - started, "propose": done - encoded, "total": done - started}
        warnings = (*proposal.warnings, *doubts(expected))
        return replace(proposal, seconds=seconds, expected_dice=expected, warnings=warnings)

    def _region(self, request: ProposalRequest, cancel: CancelToken | None) -> Region:
        """The corrected mask's or the last answered proposal's region, else the carried mask's or the
        seed's, found in a few looks; with room for all points."""
        kept = kept_region(request, self.config.grid)
        if kept is not None:
            return room_for_points(kept, request, self.config)
        if request.answered:
            return room_for_points(room_for_pick(request, self.config), request, self.config)
        if request.carried is not None:
            region = carried_region(request, request.carried, self.config)
            return room_for_points(region, request, self.config)
        boxed = next((point for point in request.points if point.size_mm is not None), None)
        if boxed is not None:
            return room_for_points(boxed_region(boxed, request, self.config), request, self.config)
        alone = request
        if self.config.extent_bins:
            first = next(p for p in request.points if p.positive)
            alone = replace(request, points=(first,), log_prior=None)
        found = self._found(alone, cancel)
        best = found[0].region
        if len(found) > 1 and len(request.points) > 1:
            pools = [self._samples_of(replace(f, log_weight=f.log_certainty), alone) for f in found]
            best = found[likeliest_region(request, pools, self.config)].region
        return room_for_points(best, request, self.config)

    def _found(self, request: ProposalRequest, cancel: CancelToken | None = None) -> tuple[FoundRegion, ...]:
        """The regions of the objects that may be meant by the request's points; the likeliest first.

        What is seen in them depends on slice and points alone, and is remembered for all profiles.
        """
        key = (self._key(request.image), request.points)
        if key not in self._regions:

            def look(regions: Sequence[Region]) -> list[Sight]:
                return self._looks(request, regions, cancel)

            _remember(self._regions, key, find_regions(request, self.config, look))
        found = self._regions[key]
        if request.usual_area is None:
            return found
        return of_usual_area(found, request.usual_area, request.image.spacing)

    def _looks(
        self, request: ProposalRequest, regions: Sequence[Region], cancel: CancelToken | None
    ) -> list[Sight]:
        """What the network sees in each region; a cancel is heard between them."""
        found = []
        for region in regions:
            _stop_if(cancel)
            found.append(self._look(request, region))
        return found

    def _look(self, request: ProposalRequest, region: Region) -> Sight:
        """A quick mean over the components' means.

        Profiles have no say in it: one slice and seed have one region, and one embedding, for all.
        """
        image = request.image
        embedding = self._embed(request, region)
        history = History(request, region, self.config, self.device)
        prepared = self.network.prepare(embedding, history.interaction)
        mixture = self._mixture(prepared, replace(request, log_prior=None), history)
        samples = self._decode(prepared, mixture.means, history, None).sigmoid()
        weights = torch.from_numpy(mixture.weights.astype(np.float32))
        with one_thread():
            mean = np.tensordot(weights.numpy(), samples.numpy(), axes=1)
        found = zoom.unsample(mean, history.region, image.shape, image.spacing) >= 0.5
        likely = mean[mean > DEFAULT.likely]
        certainty = float(np.abs(2 * likely - 1).mean()) if likely.size else 0.0
        expected = self.network.expected_dice(prepared, samples[None], weights[None])
        mask = clean_mask(found, request.points)
        return Sight(mask, certainty, expected, to_bytes(samples.numpy()), mixture.log_weights)

    def _embed(self, request: ProposalRequest, region: Region) -> ImageEmbedding:
        image = request.image
        seed = next(p for p in request.points if p.positive)
        key = (self._key(image), region, seed)
        if key in self._embeddings:
            self._embeddings.move_to_end(key)
            return self._embeddings[key]
        config = self.config
        pixels = network_pixels(zoom.sample(image.pixels, image.spacing, region), config.image_channels)
        around = None
        if config.context:
            wide = replace(region, size_mm=region.size_mm * config.context)
            around = network_pixels(zoom.sample(image.pixels, image.spacing, wide), config.image_channels)
        at = zoom.to_grid(np.array([[seed.row, seed.col]]), region, image.spacing)[:, ::-1].copy()
        embedding = self.network.encode_image(
            torch.from_numpy(pixels).to(self.device),
            torch.from_numpy(at).float().clamp(0, region.grid - 1).to(self.device),
            None if around is None else torch.from_numpy(around).to(self.device),
            self._neighbours(image, region),
        )
        _remember(self._embeddings, key, embedding)
        return embedding

    def _key(self, image: SliceImage) -> str:
        """What the network sees of an image, as one word."""
        return image.key_with_neighbours if self.config.neighbours else image.key

    def _neighbours(self, image: SliceImage, region: Region) -> Tensor | None:
        """(1, 2 n, G, G) of the slices around, grey; None where there are none or the network sees none."""
        count, there = self.config.neighbours, len(image.neighbours) // 2
        if not count or not there:
            return None
        wanted = [image.neighbours[there + i] if i >= -there else None for i in range(-count, 0)]
        wanted += [image.neighbours[there + i] if i < there else None for i in range(count)]
        planes = np.full((1, 2 * count, region.grid, region.grid), 0.5, dtype=np.float32)
        for index, pixels in enumerate(wanted):
            if pixels is not None:
                planes[:, index] = network_pixels(zoom.sample(pixels, image.spacing, region), 1)[0]
        return torch.from_numpy(planes).to(self.device)

    def _mixture(self, prepared: Prepared, request: ProposalRequest, history: History) -> Mixture:
        """p_theta(z) of this proposal: the generator's, with the profile's evidence before the first pick.

        After a pick the components speak relative to what was picked (the interaction embedding carries the
        profile's effect on), so the profile weighs in once.
        """
        log_weights, means, variances = _arrays(prepared.distribution)
        mixture = Mixture(log_weights, means, variances * (1 + DEFAULT.widening * history.rejections) ** 2)
        if request.log_prior is not None and not history.has_pick:
            mixture = mixture.reweighted(request.log_prior)
        return mixture

    def _decode(
        self, prepared: Prepared, z: np.ndarray, history: History, cancel: CancelToken | None
    ) -> Tensor:
        """z (N, D) -> logits (N, G', G') on the CPU, in chunks between which a cancel is heard."""
        latent = torch.tensor(z, dtype=torch.float32).to(self.device)[None]
        parts = []
        for chunk in latent.split(CHUNK, dim=1):
            _stop_if(cancel)
            parts.append((self.network.decode_unscaled(prepared, chunk)[0] + history.point_logits).cpu())
        return torch.cat(parts)

    def _steered(
        self, request: ProposalRequest, history: History, samples: np.ndarray, components: np.ndarray
    ) -> Proposal:
        """What the posterior over all hypotheses recommends, from N new samples."""
        found = self._others(request)
        own = found[0].log_weight if found else 0.0
        others = tuple(self._samples_of(one, request) for one in found[1:])
        shown = steered(request, history, samples, components, self.config, log_weight=own, others=others)
        return self._proposal(request, shown)

    def _clustered(
        self, request: ProposalRequest, history: History, samples: np.ndarray, components: np.ndarray
    ) -> Proposal:
        """The paper's way (Section 3.3)."""
        return self._proposal(request, clustered(request, history, samples, components, self.config))

    def _proposal(self, request: ProposalRequest, shown: ShownMasks) -> Proposal:
        spacing = request.image.spacing
        return Proposal(
            recommendation=shown.recommendation,
            probability=shown.probability,
            candidates=shown.candidates,
            feedback=shown.feedback,
            area_mm2=float(shown.recommendation.sum() * spacing[0] * spacing[1]),
            fewer_reason=shown.fewer_reason,
            warnings=(
                *input_warnings(request, self._info, shown.feedback.region, shown.recommendation),
                *self._device_warning,
            ),
        )

    def _others(self, request: ProposalRequest) -> tuple[FoundRegion, ...]:
        """The regions a click may mean; none once further points or answers say which."""
        if request.answered or request.carried is not None or len(request.points) > 1:
            return ()
        if request.points[0].size_mm is not None:
            return ()
        return self._found(request)

    def _samples_of(self, found: FoundRegion, request: ProposalRequest) -> RegionSamples:
        """The components' means in a region that is not the recommended one, as a profile weighs them."""
        assert found.sight is not None and found.sight.means is not None
        weights = np.asarray(found.sight.log_weights)
        if request.log_prior is not None:
            weights = weights + request.log_prior
        weights = weights - np.logaddexp.reduce(weights) + found.log_weight
        region = replace(found.region, grid=self.config.mask_grid)
        return RegionSamples(region, found.sight.means, weights)

    def _to_cpu(self, why: str) -> None:
        """Go on without the GPU. why: what the user is told."""
        logger.warning("%s The CPU computes from now on.", why, exc_info=True)
        self.device = torch.device("cpu")
        self.network = self.network.to(self.device)
        self._embeddings.clear()
        self._device_warning = (why,)


def _arrays(distribution: PreferenceDistribution) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-weights (M,), means and variances (M, D) of the first of the batch."""
    log_weights, means, deviations = (
        part[0].cpu().double().numpy()  # there, because Apple's GPU has no double
        for part in (distribution.log_weights, distribution.means, distribution.deviations)
    )
    return log_weights, means, deviations**2


def _remember(cache: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    cache[key] = value
    while len(cache) > CACHED:
        cache.popitem(last=False)


def _stop_if(cancel: CancelToken | None) -> None:
    if cancel is not None and cancel.is_set():
        raise Cancelled("Cancelled; nothing was changed.")
