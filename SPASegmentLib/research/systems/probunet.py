"""The Probabilistic U-Net (Kohl et al., 2018); equation numbers are its paper's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SPASegmentLib.network.compact import ConvBlock
from SPASegmentLib.research.systems.base import MapSystem, random_rater
from SPASegmentLib.research.systems.config import SystemConfig
from SPASegmentLib.research.systems.unets import basic_unet
from SPASegmentLib.research.training.batches import Batch


class ProbUNet(MapSystem):
    """A U-Net whose last layers are given a latent z, drawn from a prior that sees the image."""

    def __init__(self, config: SystemConfig) -> None:
        super().__init__(config)
        inputs = config.image_channels + 1
        self.unet = basic_unet(inputs, 1, config.widths)
        self.unet.final_conv = nn.Identity()
        self.prior = GaussianNet(inputs, config.widths[:4], config.latent)
        self.posterior = GaussianNet(inputs + 1, config.widths[:4], config.latent)
        self.combine = Combine(config.widths[-1], config.latent)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Equation 4, the negative ELBO, per pixel: cross entropy under Q(z | Y, X) + beta KL(Q || P)."""
        planes = self.planes(batch.image, batch.points[:, 0])
        label = random_rater(batch, self.counted(batch), generator)
        prior = self.prior(planes)
        mean, log_deviation = posterior = self.posterior(torch.cat([planes, label - 0.5], dim=1))
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        z = mean + log_deviation.exp() * noise  # equation 3
        logits = self.combine(self.unet(planes), z[:, None]).float()
        cross_entropy = F.binary_cross_entropy_with_logits(logits, label)
        kl = gaussian_kl(posterior, prior).mean()
        return cross_entropy + self.config.kl_weight * kl / label[0].numel()

    def maps(self, image: Tensor, seed: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """`count` segmentations, z drawn from the prior (equations 1 and 2)."""
        planes = self.planes(image, seed)
        mean, log_deviation = self.prior(planes)
        size = (len(mean), count, mean.shape[1])
        noise = torch.randn(size, generator=generator, device=mean.device)
        z = mean[:, None] + log_deviation.exp()[:, None] * noise
        return self.combine(self.unet(planes), z).float().sigmoid()


class GaussianNet(nn.Module):
    """An axis-aligned Gaussian in the latent space from an image: P(z | X), or with the label Q(z | X, Y)."""

    def __init__(self, inputs: int, widths: tuple[int, ...], latent: int) -> None:
        super().__init__()
        sizes = (inputs, *widths)
        self.encoder = nn.Sequential(
            *(
                nn.Sequential(ConvBlock(a, b, stride=1 if level == 0 else 2), ConvBlock(b, b))
                for level, (a, b) in enumerate(zip(sizes, widths, strict=False))
            )
        )
        self.head = nn.Linear(widths[-1], 2 * latent)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, G, G) -> mean and log-deviation, (B, latent) each, float32."""
        mean, log_deviation = self.head(self.encoder(planes).mean(dim=(2, 3))).float().chunk(2, dim=1)
        return mean, log_deviation.clamp(-6, 3)


class Combine(nn.Module):
    """f_comb of equation 2: z, spread over all cells, joins the features in three 1 x 1 convolutions.

    The first is split, so that what does not depend on z is computed once for all samples.
    """

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.image = nn.Conv2d(width, width, 1)
        self.latent = nn.Linear(latent, width, bias=False)
        self.rest = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, 1, 1))

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        """(B, C, G, G), (B, n, latent) -> logits (B, n, G, G)."""
        joined = self.image(features)[:, None] + self.latent(z)[..., None, None]
        return self.rest(joined.flatten(0, 1)).view(*z.shape[:2], *features.shape[-2:])


def gaussian_kl(q: tuple[Tensor, Tensor], p: tuple[Tensor, Tensor]) -> Tensor:
    """KL(q || p) of axis-aligned Gaussians given as means and log-deviations (B, D): (B,)."""
    (mean_q, log_q), (mean_p, log_p) = q, p
    ratio = (2 * (log_q - log_p)).exp() + ((mean_q - mean_p) * (-log_p).exp()).square()
    return (0.5 * (ratio - 1) + log_p - log_q).sum(dim=1)
