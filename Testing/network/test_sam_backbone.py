"""SAM's files are loaded whole or not at all, and the encoder is SAM's own."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
from segment_anything.build_sam import _build_sam, sam_model_registry
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch.nn import functional as F

from SPASegmentLib.errors import CheckpointError, InputError
from SPASegmentLib.network.config import sam_config
from SPASegmentLib.network.sam_backbone import (
    SamLayout,
    build_sam_image_encoder,
    load_sam_state,
    normalise,
    official_shapes,
    resize_absolute,
    resize_relative,
)
from SPASegmentLib.network.spa import SPANetwork

SHALLOW = SamLayout(embed_dim=48, depth=3, heads=4, global_blocks=(1,))


def with_random_tables(sam: Sam) -> Sam:
    """Random weights everywhere; SAM's position tables start as zeros, which would hide mistakes."""
    generator = torch.Generator().manual_seed(0)
    for key, value in sam.state_dict().items():
        if "pos_embed" in key or "rel_pos" in key:
            value.copy_(torch.randn(value.shape, generator=generator) * 0.2)
    return sam.eval()


@pytest.fixture(scope="module")
def a_shallow_sam() -> Sam:
    torch.manual_seed(0)
    return with_random_tables(
        _build_sam(SHALLOW.embed_dim, SHALLOW.depth, SHALLOW.heads, SHALLOW.global_blocks)
    )


@pytest.fixture(scope="module")
def shallow_file(a_shallow_sam: Sam, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sam") / "sam_shallow.pth"
    torch.save(a_shallow_sam.state_dict(), path)
    return path


def the_parts(image_size: int, layout: SamLayout = SHALLOW) -> dict[str, torch.nn.Module]:
    side = image_size // 16
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
    return {
        "image_encoder": build_sam_image_encoder(image_size, layout=layout).eval(),
        "prompt_encoder": PromptEncoder(256, (side, side), (image_size, image_size), 16).eval(),
        "mask_decoder": MaskDecoder(transformer_dim=256, transformer=transformer).eval(),
    }


def an_image(size: int, channels: int = 3) -> torch.Tensor:
    return torch.rand(1, channels, size, size, generator=torch.Generator().manual_seed(1))


def resized_for(sam: Sam, side: int) -> torch.Tensor:
    """The absolute table at another size; SAM resizes its relative tables itself when it meets one."""
    moved = sam.image_encoder.pos_embed.detach().permute(0, 3, 1, 2)
    return F.interpolate(moved, (side, side), mode="bicubic", align_corners=False).permute(0, 2, 3, 1)


def expect_refusal(path: Path, *words: str, **parts: object) -> None:
    with pytest.raises(CheckpointError) as error:
        load_sam_state(path, layout=SHALLOW, **parts)  # type: ignore[arg-type]
    text = str(error.value)
    assert "\n" not in text and text.endswith(".")
    assert all(word in text for word in words), text


@pytest.fixture(scope="module")
def the_official_sam() -> Sam:
    torch.manual_seed(0)
    return with_random_tables(sam_model_registry["vit_b"]())


@pytest.fixture(scope="module")
def official_file(the_official_sam: Sam, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file of exactly the layout of sam_vit_b_01ec64.pth (375 MB)."""
    path = tmp_path_factory.mktemp("official") / "sam_vit_b_01ec64.pth"
    torch.save(the_official_sam.state_dict(), path)
    yield path
    path.unlink()


def test_the_official_file_is_loaded_key_by_key_and_encodes_like_sam(
    the_official_sam: Sam, official_file: Path
) -> None:
    encoder = build_sam_image_encoder(256).eval()
    report = load_sam_state(official_file, image_encoder=encoder)
    official = the_official_sam.state_dict()
    assert len(official) == 314 and len(report.unused) == 137
    assert len(report.loaded) == 168 and len(report.resized) == 9
    for key, value in encoder.state_dict().items():
        assert f"image_encoder.{key}" in report.resized or torch.equal(
            value, official[f"image_encoder.{key}"]
        )
    reference = copy.deepcopy(the_official_sam.image_encoder)
    reference.pos_embed = torch.nn.Parameter(resized_for(the_official_sam, 16))
    image = an_image(256)
    with torch.inference_mode():
        assert torch.equal(encoder(image), reference(normalise(image, "sam_vit_b")))


def test_the_papers_network_takes_every_key_of_the_official_file(official_file: Path) -> None:
    network = SPANetwork(sam_config(image_size=256))
    report = load_sam_state(
        official_file,
        image_encoder=network.image_encoder,
        prompt_encoder=network.interaction_encoder,
        mask_decoder=network.decoder,
    )
    assert report.unused == {}
    assert len(report.loaded) + len(report.resized) == 314


def test_the_official_layout_is_that_of_segment_anything() -> None:
    with torch.device("meta"):
        expected = {key: value.shape for key, value in sam_model_registry["vit_b"]().state_dict().items()}
    assert official_shapes() == expected


def test_every_key_of_all_parts_is_loaded(a_shallow_sam: Sam, shallow_file: Path) -> None:
    parts = the_parts(1024)
    report = load_sam_state(shallow_file, layout=SHALLOW, **parts)  # type: ignore[arg-type]
    official = a_shallow_sam.state_dict()
    assert set(report.loaded) == set(official)
    assert (report.resized, report.unused) == ((), {})
    for name, part in parts.items():
        for key, value in part.state_dict().items():
            assert torch.equal(value, official[f"{name}.{key}"])


def test_at_sams_own_size_the_embedding_is_sams_bit_for_bit(a_shallow_sam: Sam, shallow_file: Path) -> None:
    encoder = build_sam_image_encoder(1024, layout=SHALLOW).eval()
    load_sam_state(shallow_file, image_encoder=encoder, layout=SHALLOW)
    image = an_image(1024)
    with torch.inference_mode():
        assert torch.equal(encoder(image), a_shallow_sam.image_encoder(a_shallow_sam.preprocess(image * 255)))


@pytest.mark.parametrize("size", [64, 256, 480])
def test_at_a_smaller_size_the_tables_are_resized_as_documented(
    a_shallow_sam: Sam, shallow_file: Path, size: int
) -> None:
    encoder = build_sam_image_encoder(size, layout=SHALLOW).eval()
    report = load_sam_state(shallow_file, image_encoder=encoder, layout=SHALLOW)
    assert set(report.resized) == {
        "image_encoder.pos_embed",
        "image_encoder.blocks.1.attn.rel_pos_h",
        "image_encoder.blocks.1.attn.rel_pos_w",
    }
    reference = _build_sam(SHALLOW.embed_dim, SHALLOW.depth, SHALLOW.heads, SHALLOW.global_blocks).eval()
    reference.load_state_dict(a_shallow_sam.state_dict())
    reference.image_encoder.pos_embed = torch.nn.Parameter(resized_for(a_shallow_sam, size // 16))
    image = an_image(size)
    with torch.inference_mode():
        ours = encoder(image)
        assert ours.shape == (1, 256, size // 16, size // 16)
        assert torch.equal(ours, reference.image_encoder(normalise(image, "sam_vit_b")))


def test_resizing_keeps_constant_tables_constant_and_smooth_ones_smooth() -> None:
    assert torch.allclose(
        resize_absolute(torch.full((1, 64, 64, 3), 2.0), 16), torch.full((1, 16, 16, 3), 2.0)
    )
    ramp = torch.arange(127.0)[:, None]
    assert torch.allclose(resize_relative(ramp, 63)[31], ramp[63], atol=0.01)
    assert (resize_relative(ramp, 63).diff(dim=0) > 0).all()
    assert resize_relative(ramp, 127) is ramp


def test_parts_left_out_are_listed_with_the_reason(shallow_file: Path) -> None:
    encoder = build_sam_image_encoder(1024, layout=SHALLOW)
    report = load_sam_state(shallow_file, image_encoder=encoder, layout=SHALLOW)
    assert set(report.loaded) | set(report.unused) == set(official_shapes(SHALLOW))
    assert (
        report.unused["mask_decoder.iou_token.weight"] == "this network takes no mask_decoder from the file"
    )
    assert not any(key.startswith("image_encoder.") for key in report.unused)


def test_keys_can_be_left_out_with_a_reason_only(shallow_file: Path) -> None:
    parts = the_parts(1024)
    prompt = parts["prompt_encoder"]
    prompt.mask_downscaling[0] = torch.nn.Conv2d(5, 4, 2, stride=2)  # type: ignore[index, operator]
    before = prompt.mask_downscaling[0].weight.clone()  # type: ignore[index, union-attr, operator]
    expect_refusal(shallow_file, "another shape", "prompt_encoder.mask_downscaling.0.weight", **parts)
    reason = "the mask branch takes five planes"
    report = load_sam_state(
        shallow_file,
        layout=SHALLOW,
        unused={"prompt_encoder.mask_downscaling.0.": reason},
        **parts,  # type: ignore[arg-type]
    )
    assert report.unused == {
        "prompt_encoder.mask_downscaling.0.weight": reason,
        "prompt_encoder.mask_downscaling.0.bias": reason,
    }
    assert torch.equal(prompt.mask_downscaling[0].weight, before)  # type: ignore[index, union-attr, operator]
    expect_refusal(
        shallow_file, "no keys", "prompt_encoder.typo", unused={"prompt_encoder.typo": "typing"}, **parts
    )


def changed(shallow_file: Path, folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    state = torch.load(shallow_file, weights_only=True)
    change(state)
    path = folder / "changed.pth"
    torch.save(state, path)
    return path


KEY = "image_encoder.blocks.1.attn.rel_pos_h"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop(KEY), ("lacks", KEY)),
        (lambda state: state.update(extra=torch.zeros(1)), ("does not know", "extra")),
        (lambda state: state.update({KEY: state[KEY][:-1]}), ("another shape", KEY)),
        (lambda state: state.update({KEY: state[KEY].T.contiguous()}), ("another shape", KEY)),
        (lambda state: state[KEY].fill_(float("nan")), ("not numbers", KEY)),
        (lambda state: state.update({KEY: state[KEY].int()}), ("not numbers", KEY)),
        (lambda state: state.update({f"module.{KEY}": state.pop(KEY)}), ("lacks", KEY)),
    ],
)
def test_a_missing_extra_or_odd_key_fails_loudly_and_changes_nothing(
    shallow_file: Path, tmp_path: Path, change: Callable[..., object], words: tuple[str, ...]
) -> None:
    parts = the_parts(1024)
    before = {name: {k: v.clone() for k, v in part.state_dict().items()} for name, part in parts.items()}
    expect_refusal(changed(shallow_file, tmp_path, change), *words, **parts)
    for name, part in parts.items():
        assert all(torch.equal(value, before[name][key]) for key, value in part.state_dict().items())


def test_a_parameter_the_file_does_not_fill_fails_loudly(shallow_file: Path) -> None:
    encoder = build_sam_image_encoder(1024, layout=SHALLOW)
    encoder.register_parameter("more", torch.nn.Parameter(torch.zeros(2)))
    expect_refusal(shallow_file, "does not fill", "image_encoder.more", image_encoder=encoder)


def test_a_file_of_another_depth_is_refused(shallow_file: Path) -> None:
    with pytest.raises(CheckpointError, match="lacks keys of SAM ViT-B"):
        load_sam_state(shallow_file, image_encoder=build_sam_image_encoder(256, layout=SHALLOW))


def test_the_same_tensors_as_safetensors_load_the_same(shallow_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "sam.safetensors"
    safetensors.torch.save_file(torch.load(shallow_file, weights_only=True), path)
    one, other = (build_sam_image_encoder(128, layout=SHALLOW) for _ in range(2))
    load_sam_state(shallow_file, image_encoder=one, layout=SHALLOW)
    load_sam_state(path, image_encoder=other, layout=SHALLOW)
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())


def test_half_precision_files_load_into_single_precision(shallow_file: Path, tmp_path: Path) -> None:
    path = changed(
        shallow_file,
        tmp_path,
        lambda state: state.update({key: value.half() for key, value in state.items()}),
    )
    encoder = build_sam_image_encoder(128, layout=SHALLOW)
    load_sam_state(path, image_encoder=encoder, layout=SHALLOW)
    assert {value.dtype for value in encoder.state_dict().values()} == {torch.float32}


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    torch.save({"image_encoder.pos_embed": Harm()}, tmp_path / "sam.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Harm(), protocol=2))
    for name in ("sam.pth", "raw.pth"):
        expect_refusal(tmp_path / name, "cannot be read")
    assert not (tmp_path / "harm").exists()


def test_what_is_not_a_table_of_tensors_is_refused(tmp_path: Path, shallow_file: Path) -> None:
    expect_refusal(tmp_path / "nothing.pth", "There is no file")
    for content in ([torch.zeros(1)], {"model": {"a": torch.zeros(1)}}, torch.zeros(1)):
        torch.save(content, tmp_path / "odd.pth")
        expect_refusal(tmp_path / "odd.pth", "not an official")
    for name, payload in (
        ("cut.pth", shallow_file.read_bytes()[:-500]),
        ("cut.safetensors", b"{}"),
        ("e.pth", b""),
    ):
        (tmp_path / name).write_bytes(payload)
        expect_refusal(tmp_path / name, "cannot be read")


def test_grey_is_repeated_and_rgb_normalised_as_sam_does() -> None:
    image = an_image(8)
    mean = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)
    assert torch.equal(normalise(image, "sam_vit_b"), (image * 255 - mean) / std)
    grey = an_image(8, channels=1)
    assert torch.equal(normalise(grey, "sam_vit_b"), normalise(grey.repeat(1, 3, 1, 1), "sam_vit_b"))


def test_medsam_stretches_each_image_by_itself() -> None:
    dark = an_image(8) * 0.25 + 0.5
    both = normalise(torch.cat([dark, an_image(8)]), "medsam_vit_b")
    assert torch.allclose(both[0], normalise(an_image(8), "medsam_vit_b")[0], atol=1e-5)
    assert both.amin(dim=(1, 2, 3)).tolist() == [0.0, 0.0] and both.amax(dim=(1, 2, 3)).tolist() == [1.0, 1.0]
    assert normalise(torch.full((1, 1, 4, 4), 0.3), "medsam_vit_b").abs().max() == 0


def test_the_two_backbones_see_the_same_image_differently(shallow_file: Path) -> None:
    sam = build_sam_image_encoder(64, "sam_vit_b", SHALLOW).eval()
    medsam = build_sam_image_encoder(64, "medsam_vit_b", SHALLOW).eval()
    for encoder in (sam, medsam):
        load_sam_state(shallow_file, image_encoder=encoder, layout=SHALLOW)
    with torch.inference_mode():
        assert not torch.allclose(sam(an_image(64)), medsam(an_image(64)))


@pytest.mark.parametrize("size", [0, 8, 100, 1000])
def test_sizes_that_are_not_whole_patches_are_refused(size: int) -> None:
    with pytest.raises(InputError, match="multiple of 16"):
        build_sam_image_encoder(size)


@pytest.mark.parametrize("shape", [(1, 2, 64, 64), (1, 3, 32, 32), (3, 64, 64)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="64 x 64"):
        build_sam_image_encoder(64, layout=SHALLOW)(torch.zeros(shape))


def test_the_encoder_learns(shallow_file: Path) -> None:
    encoder = build_sam_image_encoder(64, layout=SHALLOW)
    load_sam_state(shallow_file, image_encoder=encoder, layout=SHALLOW)
    encoder(an_image(64)).square().mean().backward()
    assert all(value.grad is not None for value in encoder.parameters())
