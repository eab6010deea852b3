"""The network has the paper's layers, keeps what it is given, and the loss is equation (3)."""

from __future__ import annotations

import numpy as np
import torch

from SPASegmentLib.research.systems.wong.network import (
    Inputs,
    Partial,
    WongNetwork,
    dice_loss,
    divergence,
    latent_shape,
    loss,
)


def some_inputs(seed: int = 0) -> tuple[Inputs, Partial]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(5, 1, 32, 32, generator=generator)
    mask = (torch.rand(5, 1, 32, 32, generator=generator) < 0.3).float()
    larger = torch.maximum(mask, (torch.rand(5, 1, 32, 32, generator=generator) < 0.3).float())
    truth = (torch.rand(5, 1, 32, 32, generator=generator) < 0.5).float()
    return Inputs(image, mask, mask * truth), Partial(larger, larger * truth)


def test_the_layers_have_the_papers_channels():
    network = WongNetwork()
    encoder = [network.encoder.first, network.encoder.second, network.encoder.third]
    decoder = network.decoder
    assert [layer.in_channels for layer in encoder] == [5, 32, 16]
    assert [
        layer.in_channels for layer in (decoder.first, decoder.second, decoder.third, decoder.fourth)
    ] == [4, 64, 64, 64]
    assert {layer.kernel_size for layer in network.modules() if hasattr(layer, "kernel_size")} == {(3, 3)}
    x, y = some_inputs()
    mean, log_variance = network.encoder(x, y)
    assert mean.shape == log_variance.shape == (5, *latent_shape(32, 32)) == (5, 1, 4, 4)


def test_whatever_z_says_the_given_part_is_preserved_and_nothing_is_labelled_outside_the_mask():
    torch.manual_seed(3)
    network = WongNetwork()
    x, _ = some_inputs()
    for scale in (0.0, 1.0, 30.0):
        y = network.grow(x, scale * torch.randn(5, 1, 4, 4))
        given = x.mask > 0
        assert y.mask[given].all()
        assert torch.equal(y.labels[given], x.labels[given] > 0)
        assert not (y.labels & ~y.mask).any()


def test_another_z_gives_another_prediction():
    torch.manual_seed(0)
    network = WongNetwork()
    x, _ = some_inputs()
    first, second = (network.predict(x, torch.full((5, 1, 4, 4), value)).mask for value in (-2.0, 2.0))
    assert (first - second).abs().max() > 0.01


def test_the_label_loss_looks_only_at_what_the_target_adds():
    x, y = some_inputs()
    added = y.mask - x.mask
    wrong_elsewhere = torch.where(added > 0, y.labels, 1 - y.labels)
    assert dice_loss(y.labels, wrong_elsewhere, added) < 1e-6
    wrong_there = torch.where(added > 0, 1 - y.labels, y.labels)
    assert dice_loss(y.labels, wrong_there, added) > 0.9


def test_the_loss_is_the_sum_of_its_three_weighted_terms():
    x, y = some_inputs()
    torch.manual_seed(1)
    network = WongNetwork()
    predicted, mean, log_variance = network(x, y, torch.randn(5, 1, 4, 4))
    found = loss(x, y, predicted, mean, log_variance, beta0=2.0, beta1=0.5)
    assert torch.isclose(found.total, found.labels + 2 * found.mask + 0.5 * found.divergence)


def test_the_divergence_is_the_one_torch_computes():
    torch.manual_seed(2)
    mean, log_variance = torch.randn(4, 1, 4, 4), torch.randn(4, 1, 4, 4)
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    p = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(q, p).sum(dim=(1, 2, 3)).mean()
    assert np.isclose(float(divergence(mean, log_variance)), float(expected), rtol=1e-5)
