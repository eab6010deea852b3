"""What the systems' papers write down, checked against libraries or by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.checkpoint import CheckpointHeader, save_checkpoint
from SPASegmentLib.research.evaluation.corrections import error_point
from SPASegmentLib.research.systems.base import majority, random_rater
from SPASegmentLib.research.systems.loading import begin, start_from
from SPASegmentLib.research.systems.mrnet import MultiRaterPerception, among, draw_expertness
from SPASegmentLib.research.systems.msa import Msa
from SPASegmentLib.research.systems.probunet import gaussian_kl
from SPASegmentLib.research.systems.run import RaterBatchMaker
from SPASegmentLib.research.systems.sam import Prompts, Sam, error_click, focal_loss, noisy_boxes
from SPASegmentLib.research.systems.specs import build_system, get_system, system_config
from SPASegmentLib.research.systems.user import hand_drawn_box
from SPASegmentLib.research.training.batches import Batch, BatchMaker

SMALL = {
    "grid": 32,
    "widths": [8, 8, 8, 8, 16, 8],
    "encoder_widths": [8, 16, 16, 16],
    "channels": 32,
    "decoder_heads": 4,
    "decoder_mlp": 32,
    "adapter": 8,
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_system(system_config(name, SMALL, 4)).eval()


def rows_and_columns(size: int = 24) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = np.mgrid[:size, :size]
    return rows, cols


def test_systems_learn_from_spas_batches_with_every_rater_beside(tiny_data):
    view = system_config("unet", SMALL, 4).view
    ours = RaterBatchMaker(tiny_data.images, tiny_data.masks, view, 0.7).batch(5, 3, 4)
    spas = BatchMaker(tiny_data.images, tiny_data.masks, view, 0.7).batch(5, 3, 4)
    assert torch.equal(ours.image, spas.image)
    assert torch.equal(ours.target, spas.target)
    assert torch.equal(ours.points[:, 0], spas.points[:, 0])
    assert ours.users.shape == (4, 5, 32, 32)
    assert torch.equal(ours.users[:, 0], ours.target)
    vote = (ours.users[:, 1:].sum(dim=1) >= 2).float()
    everyone = torch.ones(4, 4)
    assert torch.equal(majority(ours, everyone)[:, 0], vote)
    drawn = {float(random_rater(ours, everyone, generator(i)).sum()) for i in range(12)}
    assert len(drawn) > 3


def some_drew_nothing() -> tuple[Batch, torch.Tensor]:
    """Two images of four raters: of the first the last two drew nothing, of the second all but the first."""
    masks = torch.zeros(2, 5, 32, 32)
    masks[0, 1, 4:12, 4:12] = masks[0, 2, 4:12, 4:20] = masks[1, 1, 8:16, 8:16] = 1
    masks[:, 0] = masks[:, 1]
    points, labels = torch.full((2, 1, 2), 9.0), torch.ones(2, 1)
    image = torch.rand(2, 1, 32, 32, generator=generator())
    return Batch(image, masks[:, 0], points, labels, masks), torch.tensor([[1.0, 1, 0, 0], [1, 0, 0, 0]])


def test_raters_who_drew_nothing_are_left_out():
    batch, drew = some_drew_nothing()
    counted = small("unet").counted(batch)
    assert torch.equal(counted, drew)
    assert torch.equal(majority(batch, counted)[:, 0], batch.users.amax(dim=1))  # of two, one is half
    for seed in range(20):
        assert random_rater(batch, counted, generator(seed)).flatten(1).any(dim=1).all()
    v = among(torch.tensor([[0.1, 0.3, 0.6, 0.0], [0.0, 0.0, 0.0, 1.0]]), counted)
    assert torch.allclose(v, torch.tensor([[0.25, 0.75, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]))


def test_the_papers_way_counts_them_as_empty_masks():
    batch, _ = some_drew_nothing()
    net = build_system(system_config("unet", {**SMALL, "absent": "empty"}, 4))
    counted = net.counted(batch)
    assert torch.equal(counted, torch.ones(2, 4))
    assert not majority(batch, counted)[1].any()
    with pytest.raises(CheckpointError, match="absent is 'gone'"):
        system_config("unet", {"absent": "gone"}, 4)


@pytest.mark.parametrize("name", ["unet", "ensemble-unet", "probunet", "ls-unet", "mh-unet", "mrnet"])
def test_a_loss_does_not_hear_of_raters_who_drew_nothing(name):
    """Heads of their own get no gradient; the loss is finite and depends on the others."""
    batch, drew = some_drew_nothing()
    net = small(name)
    loss = net.loss(batch, generator())
    assert torch.isfinite(loss)
    loss.backward()
    if name == "mh-unet":
        head = net.net.final_conv.weight.grad.flatten(1).abs().sum(dim=1)
        assert (head > 0).tolist() == [bool(d) for d in drew.amax(dim=0)]


def test_validation_scores_the_mask_that_is_shown():
    batch, _ = some_drew_nothing()
    net = small("unet")
    net.maps = lambda *_: 0.3 * batch.target[:, None]  # never reaches 0.5: shown at half its peak
    assert net.score(batch, generator()) == pytest.approx(1)


def test_with_empty_masks_validation_asks_how_far_the_maps_are_from_the_raters():
    batch, _ = some_drew_nothing()
    net = build_system(system_config("probunet", {**SMALL, "absent": "empty"}, 4))
    raters = batch.users[:, 1:]
    net.maps = lambda *_: raters  # as the raters drew, empty ones too
    assert net.score(batch, generator()) == pytest.approx(1)
    net.maps = lambda *_: raters.amax(dim=1, keepdim=True)  # never empty
    assert net.score(batch, generator()) < 0.6


def test_the_kl_of_equation_4_is_that_of_gaussians():
    mean_q, log_q, mean_p, log_p = torch.randn(4, 5, 6, generator=generator())
    expected = kl_divergence(
        Independent(Normal(mean_q, log_q.exp()), 1), Independent(Normal(mean_p, log_p.exp()), 1)
    )
    assert torch.allclose(gaussian_kl((mean_q, log_q), (mean_p, log_p)), expected, rtol=1e-4)


def test_the_probabilistic_unet_draws_another_mask_for_another_z():
    image, seed = torch.rand(1, 1, 32, 32, generator=generator()), torch.tensor([[16.0, 16.0]])
    net = small("probunet")
    with torch.inference_mode():
        maps = net.maps(image, seed, 5, generator())
        again = net.maps(image, seed, 5, generator())
        other = net.maps(image, seed, 5, generator(1))
    assert maps.shape == (1, 5, 32, 32)
    assert torch.equal(maps, again)
    assert not torch.equal(maps, other)
    assert float(maps.std(dim=1).max()) > 0


def test_mrnet_is_asked_with_raters_alike_at_random_or_alone():
    v = draw_expertness(600, 4, generator(), torch.device("cpu"))
    assert torch.allclose(v.sum(dim=1), torch.ones(600))
    equal = (v == 0.25).all(dim=1).float().mean()
    alone = (v == 1).any(dim=1).float().mean()
    assert equal == pytest.approx(1 / 2, abs=0.07)
    assert alone == pytest.approx(1 / 6, abs=0.06)


def test_mrnets_soft_attention_never_looks_away_from_where_raters_disagree():
    attention = torch.zeros(1, 1, 32, 32)
    attention[..., 10:14, 10:14] = 0.5
    soft = MultiRaterPerception(8).softened(attention)
    assert bool((soft >= attention).all())
    assert float(soft[..., 8, 8]) > 0 and float(soft.max()) <= 1


def test_focal_loss_is_cross_entropy_where_focus_and_balance_are_undone():
    logits = torch.randn(2, 3, 8, 8, generator=generator())
    target = (torch.rand(2, 8, 8, generator=generator(1)) > 0.5).float()
    wanted = target[:, None].expand_as(logits)
    p_t = torch.where(wanted > 0, logits.sigmoid(), 1 - logits.sigmoid())
    alpha = torch.where(wanted > 0, 0.25, 0.75)
    expected = (-alpha * (1 - p_t) ** 2 * p_t.log()).mean(dim=(2, 3))
    assert torch.allclose(focal_loss(logits, target), expected, atol=1e-5)


def test_a_box_of_training_lies_around_its_target():
    target = torch.zeros(1, 32, 32)
    target[:, 8:20, 10:26] = 1
    boxes = torch.cat([noisy_boxes(target, generator(i)) for i in range(200)])
    assert boxes.mean(dim=0).tolist() == pytest.approx([10, 8, 25, 19], abs=0.4)
    assert float(boxes.std(dim=0)[0]) > 0.5


def test_a_click_of_training_falls_on_an_error_and_says_which():
    target = torch.zeros(2, 16, 16)
    target[:, 4:12, 4:12] = 1
    shown = target.bool().clone()
    shown[0, 4:6, 4:12] = False
    spots, labels = error_click(shown, target, generator())
    assert 4 <= spots[0, 0, 1] < 6 and 4 <= spots[0, 0, 0] < 12
    assert labels.tolist() == [[1.0], [-1.0]]


def test_the_user_clicks_the_middle_of_the_largest_error():
    rows, cols = rows_and_columns()
    target = (abs(rows - 8) <= 3) & (abs(cols - 8) <= 3)
    too_much = (abs(rows - 18) <= 2) & (abs(cols - 18) <= 2)
    click = error_point(too_much, target)
    assert (click.row, click.col, click.positive) == (8, 8, True)
    click = error_point(target | too_much, target)
    assert (click.row, click.col, click.positive) == (18, 18, False)
    assert error_point(target, target) is None


def test_a_box_drawn_by_hand_is_the_targets_but_for_a_little():
    rows, cols = rows_and_columns(64)
    target = (abs(rows - 30) <= 10) & (abs(cols - 24) <= 6)
    rng = np.random.default_rng(0)
    boxes = [hand_drawn_box(target, rng) for _ in range(100)]
    assert np.mean([b.top for b in boxes]) == pytest.approx(20, abs=0.5)
    assert np.mean([b.right for b in boxes]) == pytest.approx(30, abs=0.5)
    assert np.std([b.left for b in boxes]) > 0.3


def test_sam_is_moved_by_its_prompts():
    net, image = small("sam"), torch.rand(1, 1, 32, 32, generator=generator())
    with torch.inference_mode():
        encoded = net.encode(image)
        label = torch.ones(1, 1)
        one, _ = net.decode(encoded, Prompts(torch.tensor([[[8.0, 8.0]]]), label))
        other, _ = net.decode(encoded, Prompts(torch.tensor([[[24.0, 20.0]]]), label))
        nothing = torch.zeros(1, 0, 2)
        boxed, quality = net.decode(
            encoded, Prompts(nothing, nothing[..., 0], torch.tensor([[4.0, 4.0, 12.0, 12.0]]))
        )
    assert one.shape == (1, 4, 32, 32) and quality.shape == (1, 4)
    assert not torch.allclose(one, other) and not torch.allclose(one, boxed)


def test_msa_answers_as_sam_until_its_adapters_have_learnt(tmp_path):
    sam, msa = small("sam"), small("msa")
    assert isinstance(sam, Sam) and isinstance(msa, Msa)
    save_checkpoint(tmp_path / "sam.safetensors", sam.state_dict(), CheckpointHeader(sam.config.to_dict()))
    start_from(msa, tmp_path / "sam.safetensors")
    learnt = [name for name, p in msa.named_parameters() if p.requires_grad]
    assert len(msa.state_dict()) == len(sam.state_dict()) + len(learnt)
    prompts = Prompts(torch.tensor([[[8.0, 8.0]]]), torch.ones(1, 1))
    image = torch.rand(1, 1, 32, 32, generator=generator())
    with torch.inference_mode():
        masks = [net.decode(net.encode(image), prompts)[0] for net in (sam, msa)]
    assert torch.allclose(*masks, atol=1e-5)


def test_a_start_of_other_sizes_is_refused(tmp_path):
    net = build_system(system_config("sam", {**SMALL, "channels": 16}, 4))
    save_checkpoint(tmp_path / "sam.safetensors", net.state_dict(), CheckpointHeader(net.config.to_dict()))
    with pytest.raises(CheckpointError, match="does not fit the network"):
        start_from(small("msa"), tmp_path / "sam.safetensors")


@pytest.mark.parametrize("name", ["unet", "mh-unet", "mrnet", "probunet", "sam"])
def test_a_system_goes_on_from_its_own_weights_of_grey_images_in_colour(tmp_path, name):
    """Other raters' heads stay as they were; a grey picture in three channels gives what it gave in one."""
    grey, spec = small(name), get_system(name)
    save_checkpoint(
        tmp_path / f"{name}.safetensors", grey.state_dict(), CheckpointHeader(grey.config.to_dict())
    )
    torch.manual_seed(1)
    raters = 4 if name == "mrnet" else 6
    colour = build_system(system_config(name, {**SMALL, "image_channels": 3}, raters)).eval()
    begin(colour, spec, str(tmp_path))
    image, seed = torch.rand(1, 1, 32, 32, generator=generator()), torch.tensor([[16.0, 16.0]])
    pictures = (grey, image), (colour, image.expand(-1, 3, -1, -1))
    prompts = Prompts(seed[None], torch.ones(1, 1))
    with torch.inference_mode():
        if name == "sam":
            assert torch.allclose(*(n.decode(n.encode(i), prompts)[0] for n, i in pictures), atol=1e-4)
        elif name != "mh-unet":
            assert torch.allclose(*(n.maps(i, seed, 3, generator()) for n, i in pictures), atol=1e-4)
        else:
            deep = "net.conv_0.conv_1.conv.weight"
            assert torch.equal(grey.state_dict()[deep], colour.state_dict()[deep])
            assert colour.net.final_conv.weight.shape[0] == 6


def test_a_start_that_is_missing_or_of_another_system_is_refused(tmp_path):
    net = small("transunet")
    with pytest.raises(CheckpointError, match=r"no unet.safetensors in .* for unet to start from"):
        begin(small("unet"), get_system("unet"), str(tmp_path))
    save_checkpoint(tmp_path / "unet.safetensors", net.state_dict(), CheckpointHeader(net.config.to_dict()))
    with pytest.raises(CheckpointError, match="of another system"):
        begin(small("unet"), get_system("unet"), str(tmp_path))
