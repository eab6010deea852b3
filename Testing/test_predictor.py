"""The front door, from Python, on the shipped model and the made-up chest CT."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from SPASegmentLib import SPAPredictor
from SPASegmentLib.cli import main as cli
from SPASegmentLib.cli.sample import write_sample_volume
from SPASegmentLib.errors import CheckpointError, InputError, ProfileError, SeedError, StepError
from SPASegmentLib.imaging.geometry import seed_voxel
from SPASegmentLib.imaging.sample import make_sample_volume, sample_seeds
from SPASegmentLib.imaging.types import Volume
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.network.registry import model_path
from SPASegmentLib.profiles.profile import new_profile
from SPASegmentLib.profiles.records import ModelReference
from SPASegmentLib.profiles.store import ProfileStore

pytestmark = pytest.mark.skipif(
    not model_path("compact").exists(), reason="the shipped model is not in Resources/Models"
)
SEED = sample_seeds(0)[1].ras


@pytest.fixture(scope="module")
def chest() -> Volume:
    return make_sample_volume(0)


@pytest.fixture(scope="module")
def a_file(chest: Volume, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chest") / "chest.nrrd"
    write_sample_volume(path, chest)
    return path


@pytest.fixture(scope="module")
def engine() -> Engine:
    return SPAPredictor.from_pretrained("compact", "cpu")._engine


@pytest.fixture
def predictor(engine: Engine) -> SPAPredictor:
    """Without an image."""
    return SPAPredictor(engine)


@pytest.fixture
def clicked(predictor: SPAPredictor, chest: Volume) -> SPAPredictor:
    """The part-solid nodule clicked on its axial slice, given as an array."""
    k, j, i = seed_voxel(chest, seed_ras=SEED)
    predictor.set_image(chest.array[k], spacing=(1.25, 1.25), modality="CT")
    predictor.click(j, i)
    return predictor


def test_the_mask_is_the_one_the_command_line_gives(
    predictor: SPAPredictor, a_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mask.nrrd"
    at = ["--seed-ras", *map(str, SEED)]
    with pytest.raises(SystemExit) as ended:
        with_model = ["--model", "compact", "--device", "cpu"]
        cli.main(["segment", str(a_file), *at, "--picks", "2,n,1", "--out", str(out), *with_model])
    assert not ended.value.code
    predictor.set_volume(a_file)
    predictor.click_ras(SEED)
    predictor.pick(2)
    predictor.none_of_these()
    predictor.pick(1)
    predictor.approve()
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(out))) > 0
    assert expected.any()
    np.testing.assert_array_equal(predictor.volume_mask(), expected)


@pytest.mark.parametrize("orientation", ["axial", "sagittal", "coronal"])
def test_path_image_and_volume_are_one_volume(
    predictor: SPAPredictor, chest: Volume, a_file: Path, orientation: str
) -> None:
    masks = []
    for given in (str(a_file), sitk.ReadImage(str(a_file)), chest):
        predictor.set_volume(given)
        predictor.click_ras(SEED, orientation)
        predictor.approve()
        masks.append(predictor.volume_mask())
    axis = {"axial": 0, "coronal": 1, "sagittal": 2}[orientation]
    index = seed_voxel(chest, seed_ras=SEED)[axis]
    assert set(np.nonzero(masks[0])[axis]) == {index}, "only the slice through the seed"
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


def test_a_slice_as_an_array_is_segmented_as_in_its_volume(clicked: SPAPredictor, chest: Volume) -> None:
    mask = clicked.approve()
    k, j, i = seed_voxel(chest, seed_ras=SEED)
    clicked.set_volume(chest)
    clicked.set_slice("axial", k)
    clicked.click(j, i)
    np.testing.assert_array_equal(clicked.approve(), mask)
    np.testing.assert_array_equal(clicked.volume_mask()[k], mask)
    assert mask[j, i] and mask.dtype == bool


def test_slices_are_turned_as_radiologists_look_at_them(predictor: SPAPredictor, chest: Volume) -> None:
    predictor.set_volume(chest)
    predictor.set_slice("coronal", 100)
    assert predictor.image.shape == chest.array[:, 100].shape
    assert predictor.image.spacing == pytest.approx((1.5, 1.25))
    low, high = predictor.model.window or (0.0, 1.0)
    upright = (chest.array[::-1, 100].astype(float) - low) / (high - low)
    np.testing.assert_allclose(predictor.image.pixels, upright.clip(0, 1), atol=1e-6)


def test_what_is_shown_has_names_areas_and_shares(clicked: SPAPredictor) -> None:
    shown = clicked.proposal
    assert shown.recommendation.shape == shown.probability.shape == clicked.image.shape
    assert len(shown.candidates) == 4
    assert all(c.name and 0 < c.support <= 1 for c in shown.candidates)
    assert [c.area_mm2 for c in shown.candidates] == pytest.approx(
        [c.mask.sum() * 1.25**2 for c in shown.candidates]
    )
    assert len({c.mask.tobytes() for c in shown.candidates}) == 4
    assert repr(shown).startswith(f"<Proposal of {shown.area_mm2:.1f} mm2; 1 {shown.candidates[0].name}; 2 ")
    assert shown.warnings == ()


def test_undo_and_redo_bring_back_what_was_shown(clicked: SPAPredictor) -> None:
    first = clicked.proposal
    second = clicked.pick(2)
    assert second is clicked.proposal is not first
    assert (second.recommendation != first.recommendation).any()
    assert clicked.undo() is first
    assert clicked.redo() is second
    mask = clicked.approve()
    assert clicked.undo() is second
    clicked.redo()
    np.testing.assert_array_equal(clicked.mask, mask)


def test_the_number_of_a_pick_is_the_one_on_the_screen(clicked: SPAPredictor) -> None:
    for number, candidate in enumerate(clicked.proposal.candidates, start=1):
        np.testing.assert_array_equal(clicked.take(number), candidate.mask)
        clicked.undo()
    towards = [candidate.mask.sum() for candidate in clicked.proposal.candidates]
    areas = []
    for number in (1 + int(np.argmin(towards)), 1 + int(np.argmax(towards))):
        areas.append(clicked.pick(number).area_mm2)
        clicked.undo()
    assert areas[0] < areas[1]


def test_points_say_what_belongs_to_the_object(clicked: SPAPredictor) -> None:
    rows, cols = np.nonzero(clicked.proposal.recommendation)
    farthest = int(np.hypot(rows - clicked.points[0].row, cols - clicked.points[0].col).argmax())
    row, col = int(rows[farthest]), int(cols[farthest])
    assert not clicked.add_point(row, col, positive=False).recommendation[row, col]
    assert [point.positive for point in clicked.points] == [True, False]
    clicked.undo()
    assert clicked.proposal.recommendation[row, col]
    assert clicked.add_point(row, col).recommendation[row, col]


def test_none_of_these_shows_others(clicked: SPAPredictor) -> None:
    before = {candidate.mask.tobytes() for candidate in clicked.proposal.candidates}
    assert not before & {candidate.mask.tobytes() for candidate in clicked.none_of_these().candidates}


def test_the_next_click_is_a_new_interaction(clicked: SPAPredictor, chest: Volume) -> None:
    first = clicked.proposal
    mask = clicked.approve()
    mask[:] = True
    assert not clicked.mask.all(), "what is handed out is a copy"
    _, j, i = seed_voxel(chest, seed_ras=SEED)
    again = clicked.click(j, i)
    np.testing.assert_array_equal(again.probability, first.probability)
    assert len(clicked.points) == 1


def test_another_random_seed_draws_others(clicked: SPAPredictor, engine: Engine, chest: Volume) -> None:
    other = SPAPredictor(engine, random_seed=1)
    k, j, i = seed_voxel(chest, seed_ras=SEED)
    other.set_image(chest.array[k], spacing=(1.25, 1.25), modality="CT")
    assert (other.click(j, i).probability != clicked.proposal.probability).any()


def test_the_window_decides_what_the_network_sees(predictor: SPAPredictor, chest: Volume) -> None:
    k, j, i = seed_voxel(chest, seed_ras=SEED)
    predictor.set_image(chest.array[k], modality="ct")
    low, high = predictor.model.window or (0.0, 0.0)
    expected = ((chest.array[k, j, i] - low) / (high - low)).clip(0, 1)
    assert predictor.image.pixels[j, i] == pytest.approx(expected, abs=1e-6)
    predictor.set_image(chest.array[k], modality="CT", window=(-1000, 1000))
    wide = (chest.array[k, j, i] + 1000) / 2000
    assert predictor.image.pixels[j, i] == pytest.approx(wide, abs=1e-6)
    predictor.set_volume(chest, window=(-1000, 1000))
    predictor.click_ras(SEED)
    assert predictor.image.pixels[j, i] == pytest.approx(wide, abs=1e-6)


def test_what_the_model_was_not_trained_on_is_said(predictor: SPAPredictor, chest: Volume) -> None:
    k, j, i = seed_voxel(chest, seed_ras=SEED)
    predictor.set_image(chest.array[k], spacing=(1.25, 1.25), modality="MG")
    assert any("MG" in warning for warning in predictor.click(j, i).warnings)


def test_numbers_of_any_real_type_are_an_image(predictor: SPAPredictor) -> None:
    disc = np.hypot(*np.mgrid[-30:30, -30:30]) < 9
    for image in (disc, disc.astype(np.int64) * 700, disc.astype(np.float16), disc[..., None] * [9, 5, 1.0]):
        predictor.set_image(image)
        assert predictor.click(30, 30).recommendation[30, 30]


def test_a_call_that_fails_changes_nothing(clicked: SPAPredictor, chest: Volume) -> None:
    shown = clicked.proposal
    for call in (
        lambda: clicked.set_image(np.zeros((9, 9))),
        lambda: clicked.set_volume("nowhere.nrrd"),
        lambda: clicked.set_slice("axial", 7),
        lambda: clicked.click(-5, 0),
        lambda: clicked.add_point(0, 1e9),
        lambda: clicked.pick(5),
    ):
        with pytest.raises((InputError, StepError)):
            call()
        assert clicked.proposal is shown


def test_calls_in_the_wrong_order_are_refused_in_a_sentence(predictor: SPAPredictor, chest: Volume) -> None:
    for call in (
        lambda: predictor.image,
        lambda: predictor.set_slice("axial", 0),
        lambda: predictor.click(0, 0),
        lambda: predictor.pick(1),
        lambda: predictor.mask,
    ):
        with pytest.raises(StepError, match="There is no image yet; call set_image or set_volume first"):
            call()
    with pytest.raises(StepError, match="There is no volume yet; call set_volume first"):
        predictor.click_ras(SEED)
    predictor.set_volume(chest)
    with pytest.raises(StepError, match="call set_slice or click_ras first"):
        predictor.click(0, 0)
    predictor.set_slice("axial", 80)
    for call in (
        lambda: predictor.pick(1),
        lambda: predictor.add_point(1, 1),
        lambda: predictor.proposal,
        predictor.approve,
        predictor.undo,
    ):
        with pytest.raises(StepError, match="Nothing was clicked yet; call click first"):
            call()


def test_steps_that_do_not_fit_are_refused_in_a_sentence(clicked: SPAPredictor) -> None:
    with pytest.raises(StepError, match="Only the click is left"):
        clicked.undo()
    with pytest.raises(StepError, match="nothing to redo"):
        clicked.redo()
    with pytest.raises(StepError, match="No mask is final yet"):
        clicked.volume_mask()
    for number in (0, 5, -1):
        with pytest.raises(StepError, match=f"There is no candidate {number}; choose 1 to 4"):
            clicked.pick(number)
    for number in ("1", 1.0, None):
        with pytest.raises(InputError, match="no whole number"):
            clicked.take(number)  # type: ignore[arg-type]
    clicked.approve()
    with pytest.raises(StepError, match="approved already; undo that first"):
        clicked.pick(1)


GREY = np.arange(600.0).reshape(20, 30)


@pytest.mark.parametrize(
    ("array", "options", "sentence"),
    [
        (GREY[0], {}, "The image is 30; give one slice"),
        (GREY[None], {}, "The image is 1 x 20 x 30; give one slice"),
        (np.zeros((4, 4, 4)), {}, "The image is 4 x 4 x 4; give one slice"),
        (np.zeros((0, 5)), {}, "The image is 0 x 5; give one slice"),
        (7, {}, "The image is a single number"),
        (GREY * 1j, {}, "values of type complex128"),
        ([["a", "b"]], {}, "values of type <U1"),
        (None, {}, "values of type object"),
        ([[1, 2], [3]], {}, "no array of numbers"),
        (GREY[:1], {}, "only 1 x 30 pixels"),
        (np.full((20, 30), 5), {}, "constant"),
        (np.full((20, 30), np.nan), {}, "no finite value"),
        (GREY, {"spacing": 1.0}, "two sizes in mm"),
        (GREY, {"spacing": (1.0, 1.0, 1.0)}, "two sizes in mm"),
        (GREY, {"spacing": (0.7, -1)}, "no size of pixels"),
        (GREY, {"spacing": (0.7, np.inf)}, "no size of pixels"),
        (GREY, {"window": (5, 1)}, "The window 5 to 1 is empty"),
        (GREY, {"window": (1, 2, 3)}, "A window is two intensities"),
    ],
)
def test_what_is_no_image_is_refused_in_a_sentence(
    predictor: SPAPredictor, array: object, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence) as refused:
        predictor.set_image(array, **options)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_places_that_are_not_there_are_refused_in_a_sentence(predictor: SPAPredictor, chest: Volume) -> None:
    with pytest.raises(InputError, match="A ndarray is no volume"):
        predictor.set_volume(chest.array)  # type: ignore[arg-type]
    predictor.set_volume(chest)
    with pytest.raises(InputError, match="There is no orientation up"):
        predictor.set_slice("up", 0)
    for index in (-1, 160):
        with pytest.raises(InputError, match=f"no axial slice {index}; choose one from 0 to 159"):
            predictor.set_slice("axial", index)
    with pytest.raises(SeedError, match="outside the volume"):
        predictor.click_ras((0, 0, 9999))
    with pytest.raises(SeedError, match="three numbers"):
        predictor.click_ras((0, 0))
    predictor.set_slice("axial", 80)
    with pytest.raises(SeedError, match="outside the slice"):
        predictor.click(200, 0)
    with pytest.raises(InputError, match="two numbers"):
        predictor.click("here", 0)  # type: ignore[arg-type]


def test_a_model_that_is_not_there_is_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="There is no model called 'nonsense'"):
        SPAPredictor.from_pretrained("nonsense")
    with pytest.raises(CheckpointError, match="There is no checkpoint at"):
        SPAPredictor.from_pretrained("no/such.safetensors")


def test_the_package_loads_nothing_heavy_until_it_is_used() -> None:
    code = (
        "import sys, SPASegmentLib\n"
        "assert not {'torch', 'numpy', 'scipy'} & sys.modules.keys()\n"
        "from SPASegmentLib import SPAPredictor\n"
        "assert 'torch' not in sys.modules\n"
        "assert SPAPredictor.__module__ == 'SPASegmentLib.predictor'\n"
        "assert not hasattr(SPASegmentLib, 'nothing')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.fixture
def a_profile(engine: Engine, tmp_path: Path) -> ProfileStore:
    store = ProfileStore(tmp_path / "profiles")
    store.create(new_profile("Dr. A", ModelReference.of(engine.model)))
    return store


def test_a_profile_is_begun_with_and_taught_by_an_approval(
    clicked: SPAPredictor, a_profile: ProfileStore
) -> None:
    def images() -> int:
        return a_profile.load("Dr. A").n_images

    at = clicked.points[0]
    plain = clicked.proposal
    clicked.use_profile("Dr. A", folder=a_profile.folder)
    clicked.approve()
    assert images() == 0, "this interaction began without it"
    for _ in range(3):
        clicked.click(at.row, at.col)
        larger = [n for n, c in enumerate(clicked.proposal.candidates, start=1) if "larger" in c.name]
        clicked.pick(larger[0])
        clicked.approve()
    assert len(a_profile.load("Dr. A").slices) == 3
    clicked.undo()
    assert len(a_profile.load("Dr. A").slices) == 2, "what is undone was not learnt"
    clicked.redo()
    clicked.undo()
    clicked.take(1)
    assert [item.outcome for item in a_profile.load("Dr. A").slices].count("taken") == 1
    assert clicked.click(at.row, at.col).area_mm2 > plain.area_mm2, "it begins where the user ended"
    assert clicked._session is not None
    assert clicked._session.usual_area == a_profile.load("Dr. A").usual_area() is not None
    clicked.use_profile("Dr. A", learn=False, folder=a_profile.folder)
    assert clicked.click(at.row, at.col).area_mm2 > plain.area_mm2
    clicked.approve()
    assert len(a_profile.load("Dr. A").slices) == 3, "not taught where it is not to learn"
    clicked.use_profile(None)
    assert np.array_equal(clicked.click(at.row, at.col).recommendation, plain.recommendation)


def test_a_profile_that_cannot_be_used_is_told_at_once(
    clicked: SPAPredictor, a_profile: ProfileStore, engine: Engine
) -> None:
    with pytest.raises(ProfileError, match="There is no profile"):
        clicked.use_profile("Dr. B", folder=a_profile.folder)
    other = ModelReference(name="other", hash="f" * 64, components=engine.model.components)
    a_profile.create(new_profile("Dr. C", other))
    with pytest.raises(ProfileError, match="says nothing about"):
        clicked.use_profile("Dr. C", folder=a_profile.folder)
    assert clicked.proposal, "nothing was lost"


def test_a_whole_object_teaches_a_profile_once(
    predictor: SPAPredictor, chest: Volume, a_profile: ProfileStore
) -> None:
    predictor.use_profile("Dr. A", folder=a_profile.folder)
    predictor.set_volume(chest)
    predictor.click_ras(SEED)
    predictor.approve()
    taught = a_profile.load("Dr. A").slices
    found = predictor.fill()
    predictor.review(found.slices[0].index)
    predictor.approve()
    predictor.fill()
    assert len(taught) == 1 and a_profile.load("Dr. A").slices == taught
