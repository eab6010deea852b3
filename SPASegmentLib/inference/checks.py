"""What the engine refuses, and what it warns of."""

from __future__ import annotations

import numpy as np

from SPASegmentLib.errors import InputError, ProfileError, SeedError
from SPASegmentLib.imaging.types import Region
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.messages import ModelInfo, Proposal, ProposalRequest

LARGEST_TRAINED = 128.0
"""Region, in pixels, beyond which objects are larger than any the shipped model was trained on."""

FEW = 3
"""A mask of so many pixels or fewer is the seed, and no object found around it."""
NOISE = 0.15
"""Correlation of neighbouring pixels below which they are noise; that of images lies far above."""
NEAR = 24
"""... and so many pixels to each side of the seed are looked at."""
MODEL_DOUBTS = "The model doubts this mask: pick another, correct it with a point, or click elsewhere in it."
LOOKS_LIKE_NOISE = (
    "Neighbouring pixels here have nothing in common, as in noise; there may be no object at all."
)
LOOKS_LIKE_A_PHOTOGRAPH = (
    "Colours of as many kinds as here are those of a photograph, not of fundus, endoscopy or stained tissue; "
    "the masks may mean nothing."
)
COLOURED = 0.1
"""Distance from grey, of pixels in [0, 1], from which on a pixel has a colour."""
COLOURED_SHARE = 0.2
"""Pictures with a smaller share of coloured pixels are grey ones with marks or flow drawn in them."""
ONE_HUE = 0.94
"""Length of the mean colour over the mean length: 1 for one hue, 0 for all alike. Fundus, endoscopy and
stained tissue of nine data sets have 0.95 and more, photographs with sky or leaves less."""
VIOLET = 250.0
"""Hues, in degrees, from which on they count as red: stains of tissue go from violet over pink to red."""
LOOKED_AT = 128
"""Pixels along each side of a picture whose colours are looked at."""
ROUNDING = 1e-3
"""How far pixels may lie outside [0, 1]: what resampling in float32 leaves, and far less than raw values."""


def check_request(request: ProposalRequest, model: ModelInfo) -> None:
    """Raise InputError, SeedError or ProfileError for what cannot be answered."""
    pixels = request.image.pixels
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3) or pixels.size == 0:
        raise InputError("A slice must be grey (H, W) or RGB (H, W, 3) and not empty.")
    if min(pixels.shape[:2]) < 2:
        raise InputError("The slice is only one pixel wide; choose another orientation or image.")
    if not np.isfinite(pixels).all():
        raise InputError("The slice has NaN or infinite values; replace them before segmenting.")
    low, high = float(pixels.min()), float(pixels.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise InputError(
            f"The slice has pixels from {low:g} to {high:g} where the model takes 0 to 1; "
            "apply an intensity window before segmenting."
        )
    if high - low < 1e-6:
        raise InputError("The slice is empty: all its pixels look the same in this intensity window.")
    if not any(p.positive for p in request.points):
        raise SeedError("Place a positive seed inside the object first.")
    height, width = request.image.shape
    for point in request.points:
        if not (-0.5 <= point.row < height - 0.5 and -0.5 <= point.col < width - 0.5):
            raise SeedError("A point lies outside the slice; place it inside the image.")
        if point.size_mm is not None and not 0 < point.size_mm < np.inf:
            raise SeedError(f"A box of {point.size_mm:g} mm has no size; draw one around the object.")
    carried = request.carried
    if carried is not None and (
        carried.mask.shape != (height, width) or not 0.5 <= float(carried.mask.max()) <= 1
    ):
        raise InputError("The carried mask is empty or does not fit the slice; carry over another one.")
    area = request.usual_area
    if area is not None and not (np.isfinite(area.log_mm2) and 0 < area.deviation < np.inf):
        raise ProfileError("The profile's usual area is no number; choose another profile or none.")
    if request.log_prior is not None and request.log_prior.shape != (model.components,):
        raise ProfileError("The profile belongs to another model; choose a profile of this model or none.")


def network_pixels(cells: np.ndarray, channels: int) -> np.ndarray:
    """(G, G[, 3]) -> (1, channels, G, G) float32: grey repeated, or RGB as luminance (ITU-R BT.601)."""
    if cells.ndim == 2:
        planes = np.repeat(cells[None], channels, axis=0)
    elif channels == 1:
        planes = (cells @ np.array([0.299, 0.587, 0.114], dtype=np.float32))[None]
    else:
        planes = np.moveaxis(cells, -1, 0)
    return np.ascontiguousarray(planes[None], dtype=np.float32)


def doubts(expected_dice: float | None) -> tuple[str, ...]:
    """What to say of a mask the model itself expects little of; nothing where it does not judge itself."""
    if expected_dice is None or expected_dice >= DEFAULT.doubtful:
        return ()
    return (MODEL_DOUBTS,)


def is_doubtful(proposal: Proposal) -> bool:
    """Whether a recommendation is one to look at twice before it is approved."""
    expected = proposal.expected_dice
    return (
        int(proposal.recommendation.sum()) <= FEW
        or (expected is not None and expected < DEFAULT.doubtful)
        or LOOKS_LIKE_NOISE in proposal.warnings
        or LOOKS_LIKE_A_PHOTOGRAPH in proposal.warnings
    )


def looks_like_noise(pixels: np.ndarray) -> bool:
    """Whether neighbouring pixels of a region, (H, W) or (H, W, 3), are as independent as in noise."""
    grey = pixels if pixels.ndim == 2 else pixels.mean(axis=-1)
    rows, cols = (
        _correlation(one, other) for one, other in ((grey[1:], grey[:-1]), (grey[:, 1:], grey[:, :-1]))
    )
    return max(rows, cols) < NOISE


def looks_like_a_photograph(pixels: np.ndarray) -> bool:
    """Whether colours of (H, W[, 3]) pixels in [0, 1] are of more kinds than tissue or a stain has."""
    if pixels.ndim == 2:
        return False
    step = max(1, max(pixels.shape[:2]) // LOOKED_AT)
    red, green, blue = np.moveaxis(pixels[::step, ::step], -1, 0)
    colours = (red - (green + blue) / 2) + 1j * (np.sqrt(3) / 2) * (green - blue)
    coloured = colours[np.abs(colours) > COLOURED]
    if coloured.size < COLOURED_SHARE * colours.size:
        return False
    strength = np.abs(coloured)
    stained = np.where(np.rad2deg(np.angle(coloured)) % 360 > VIOLET, strength, coloured)
    return bool(max(abs(coloured.mean()), abs(stained.mean())) < ONE_HUE * strength.mean())


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of two arrays' values; 1 where either is constant or there are too few."""
    if one.size < 64 or one.std() < ROUNDING or other.std() < ROUNDING:
        return 1.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def input_warnings(
    request: ProposalRequest, model: ModelInfo, region: Region, recommendation: np.ndarray
) -> tuple[str, ...]:
    """Sentences about input that is plainly not what the model was trained on; never a refusal."""
    image, found = request.image, list(request.image.warnings)
    known = ", ".join(model.modalities)
    if model.modalities and image.modality and image.modality not in model.modalities:
        found.append(
            f"This model was trained on {known}, but this image says {image.modality}; "
            "look twice at its masks."
        )
    elif model.modalities == ("CT",) and image.pixels.ndim == 3:
        found.append(f"This model was trained on {known}, but this image is in colour; look twice.")
    elif model.modalities and not image.modality:
        found.append(
            f"This model was trained on {known}, and neither the file nor its values say that "
            f"this is {known}; look twice at its masks."
        )
    if model.modalities == ("CT",) and region.size_mm > LARGEST_TRAINED * min(image.spacing):
        found.append("This object is larger than any the model was trained on; look twice at its masks.")
    if 0 < recommendation.sum() <= FEW:
        found.append("The model found nothing but the seed itself; try a seed in the middle of the object.")
    if looks_like_noise(image.pixels[_around(request)]):
        found.append(LOOKS_LIKE_NOISE)
    if not image.modality and looks_like_a_photograph(image.pixels):
        found.append(LOOKS_LIKE_A_PHOTOGRAPH)
    return tuple(found)


def _around(request: ProposalRequest) -> tuple[slice, slice]:
    """The pixels around the seed that are looked at for noise."""
    seed = next(p for p in request.points if p.positive)
    row, col = round(seed.row), round(seed.col)
    return slice(max(0, row - NEAR), row + NEAR + 1), slice(max(0, col - NEAR), col + NEAR + 1)
