"""Rounds of picks in training: clustering, the simulated user, the belief, and what leaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from SPASegmentLib.network.belief import Belief, log_none, pairwise_dice
from SPASegmentLib.network.config import build_config
from SPASegmentLib.network.spa import SPANetwork
from SPASegmentLib.research.training.batches import Batch, BatchMaker, Sealed
from SPASegmentLib.research.training.losses import mixture_loss
from SPASegmentLib.research.training.options import TrainOptions
from SPASegmentLib.research.training.rounds import batched_kmeans, cluster_means, play
from SPASegmentLib.research.training.step import TrainingStep


def discs(radii: list[float], grid: int = 32) -> torch.Tensor:
    rows, cols = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    distance = torch.hypot(rows - grid / 2, cols - grid / 2)
    return torch.stack([(distance < r).float() for r in radii])


def test_batched_kmeans_finds_clusters_as_good_as_scikit_learns():
    generator = torch.Generator().manual_seed(0)
    base = discs([4, 7, 10, 13])
    maps = base.repeat_interleave(4, dim=0)
    maps = (maps + 0.1 * torch.rand(maps.shape, generator=generator)).clamp(0, 1)[None]
    labels = batched_kmeans(maps, torch.full((1, 16), 1 / 16), 4)[0]
    theirs = KMeans(4, n_init=10, random_state=0).fit_predict(maps[0].flatten(1).numpy())
    assert len({(int(a), int(b)) for a, b in zip(labels, theirs, strict=True)}) == 4


def test_an_image_is_answered_the_same_alone_and_in_a_batch(tiny_network):
    image = torch.rand(3, 1, 32, 32)
    points = torch.full((3, 2), 16.0)
    with torch.no_grad():
        from SPASegmentLib.network.interaction import InteractionPrompts

        def distribution(index):
            embedding = tiny_network.encode_image(image[index], points[index])
            return tiny_network.prepare(
                embedding, InteractionPrompts(points[index][:, None], torch.ones(len(index), 1))
            )

        together, alone = distribution([0, 1, 2]), distribution([1])
    for part in ("log_weights", "means", "deviations"):
        a, b = getattr(together.distribution, part)[1], getattr(alone.distribution, part)[0]
        assert torch.allclose(a, b, atol=1e-5), part


def test_the_belief_moves_to_samples_close_to_the_pick():
    samples = discs([4, 6, 8, 10])[None]
    belief = Belief(0.05)
    belief.add(samples, torch.full((1, 4), -np.log(4.0)))
    candidates = discs([4, 10])[None]
    mean = belief.update(candidates, torch.tensor([1]))
    assert pairwise_dice(mean, discs([10])[None]).item() > pairwise_dice(mean, discs([4])[None]).item()
    assert belief.log_weights[0, 3] > belief.log_weights[0, 0]


def test_none_of_these_speaks_against_samples_close_to_a_candidate():
    samples, candidates = discs([4, 10])[None], discs([4])[None]
    close, far = log_none(samples, candidates, 0.05, 0.9)[0]
    assert far > close


def test_the_simulated_user_picks_the_candidate_with_the_highest_dice():
    samples = discs([4, 4, 7, 7, 10, 10, 13, 13])[None]
    weights = torch.full((1, 8), -np.log(8.0))
    target = discs([10])
    outcome = play(samples, weights, target, Belief(0.05), 4)
    assert outcome.candidate_dice[0, outcome.pick[0]] == pytest.approx(1.0)
    assert torch.equal(outcome.picked[0, 0] >= 0.5, target[0] > 0)


def test_cluster_means_ignore_empty_clusters():
    samples = discs([4, 8])[None]
    means = cluster_means(samples, torch.full((1, 2), 0.5), torch.tensor([[0, 0]]), 3)
    assert torch.allclose(means[0, 1], samples[0].mean(0))


def test_the_mixture_loss_is_the_em_bound():
    losses = torch.tensor([[[0.1], [0.5]]])
    weights = torch.tensor([[0.25, 0.75]]).log().requires_grad_()
    mixture_loss(losses, weights, 0.1, 0.0).sum().backward()
    responsibility = 0.25 * np.exp(-1) / (0.25 * np.exp(-1) + 0.75 * np.exp(-5))
    assert -weights.grad[0, 0].item() / 0.1 == pytest.approx(responsibility, rel=1e-5)


def test_the_target_reaches_the_network_only_through_the_picks(tiny_network):
    """Two targets that lead to the same pick leave the same inputs for the next round."""
    images, masks = np.full((2, 48, 48), 90, np.uint8), np.zeros((2, 4, 48, 48), bool)
    masks[:, :, 18:30, 18:30] = True
    batch = BatchMaker(images, masks, tiny_network.config, 1.0).batch(0, 0, 2)
    step = TrainingStep(tiny_network, TrainOptions()).eval()
    seen = []
    original = tiny_network.prepare
    tiny_network.prepare = lambda e, i: (seen.append(i), original(e, i))[1]  # type: ignore[method-assign]
    try:
        for target in (batch.target, batch.target * 0):
            generator = torch.Generator().manual_seed(0)
            users = target[:, None]
            step(Sealed(Batch(batch.image, target, batch.points, batch.labels, users)), 1, generator)
    finally:
        del tiny_network.prepare
    first, second = seen
    assert torch.equal(first.points, second.points)
    assert first.picked is None and second.picked is None


def a_batch(users: int = 3) -> Batch:
    """Two images; user u wants a disc of radius 4 + 3 u, the first is the one who picks."""
    targets = discs([4 + 3 * u for u in range(users)]).expand(2, -1, -1, -1)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 1, 32, 32, generator=generator)
    points, labels = torch.full((2, 1, 2), 16.0), torch.ones(2, 1)
    return Batch(image, targets[:, 0], points, labels, targets)


def step_loss(network: SPANetwork, batch: Batch, rounds: int, **options: float) -> float:
    step = TrainingStep(network, TrainOptions(**options)).eval()
    with torch.no_grad():
        return float(step(Sealed(batch), rounds, torch.Generator().manual_seed(0)).loss)


def test_the_first_round_learns_from_every_user_who_may_have_clicked(tiny_network):
    batch = a_batch(users=3)
    alone = [replace(batch, users=batch.users[:, [u]]) for u in range(3)]
    losses = [step_loss(tiny_network, one, 1) for one in alone]
    assert max(losses) - min(losses) > 0.1
    assert step_loss(tiny_network, batch, 1) == pytest.approx(np.mean(losses), rel=1e-4)


def test_later_rounds_learn_from_the_user_who_picks_alone(tiny_network):
    batch = a_batch(users=3)
    alone = replace(batch, users=batch.users[:, :1])
    later = [2 * step_loss(tiny_network, b, 2) - step_loss(tiny_network, b, 1) for b in (batch, alone)]
    assert later[0] == pytest.approx(later[1], rel=1e-4)


def test_outlines_change_their_shape_from_the_second_round_on(tiny_network):
    plain, shaped = (SPANetwork(replace(tiny_network.config, shape_amplitude=a)).eval() for a in (0.0, 3.0))
    for network in (plain, shaped):
        network.load_state_dict(tiny_network.state_dict())
    batch = a_batch()
    first, second = ([step_loss(network, batch, n) for network in (plain, shaped)] for n in (1, 2))
    assert first[0] == first[1]
    assert abs(second[0] - second[1]) > 1e-3


def test_a_component_the_weights_have_given_up_still_learns(tiny_network):
    """Its weight is e^-50; all of one loss to within a wide softness, so that each has its share of it."""
    network = SPANetwork(tiny_network.config)
    network.load_state_dict(tiny_network.state_dict())
    with torch.no_grad():
        network.generator.weights[-1].bias[0] -= 50
    options = TrainOptions(winner_temperature=10.0, mean_loss=0.0, candidate_loss=0.0)
    step = TrainingStep(network, options).eval()
    step(Sealed(a_batch()), 1, torch.Generator().manual_seed(0)).loss.backward()
    learnt = network.generator.means.grad.norm(dim=1)
    assert learnt[0] > 1e-3 * learnt.max()


@pytest.fixture(scope="module")
def tiny_network() -> SPANetwork:
    torch.manual_seed(0)
    entries = {
        "grid": 32,
        "channels": 32,
        "widths": [8, 16, 16, 16],
        "head_channels": 16,
        "decoder_heads": 4,
        "decoder_mlp": 32,
        "components": 6,
        "default_region": 32.0,
    }
    return SPANetwork(build_config(entries)).eval()
