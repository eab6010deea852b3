"""The image on the screen is the image that was chosen, whole, in its own planes and window."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from PIL import Image

from SPASegmentLib.imaging.types import IntensityWindow
from SPASegmentLib.viewer import page as page_module
from SPASegmentLib.viewer.options import ViewerOptions


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def a_volume(
    path: Path, shape: tuple[int, int, int] = (9, 40, 48), dtype: Any = np.int16, spacing: Any = (1, 1, 3)
) -> Path:
    """A CT of a bright box in air whose left half is brighter; shape (K, J, I), spacing (i, j, k) mm."""
    array = np.full(shape, -1000, np.int64)
    box = tuple(slice(n // 4, 3 * n // 4) if n > 3 else slice(None) for n in shape)
    array[box] = 40
    array[..., : shape[2] // 2] += 60
    if np.dtype(dtype).kind == "u":
        array += 1000
    image = sitk.GetImageFromArray(array.astype(dtype))
    image.SetSpacing([float(value) for value in spacing])
    sitk.WriteImage(image, str(path))
    return path


def seen(viewer: Any) -> np.ndarray:
    """(H, W) grey in [0, 255] of the large view."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    window = viewer.large.view.render_window()
    window.Render()
    reader = vtk.vtkWindowToImageFilter()
    reader.SetInput(window)
    reader.ReadFrontBufferOff()
    reader.Update()
    image = reader.GetOutput()
    width, height, _ = image.GetDimensions()
    colours = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)
    return colours[::-1, :, :3].mean(axis=2)


class Slow:
    """Holds back the reading of one entry of the list until it is let go."""

    def __init__(self, viewer: Any, key: str) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        choice = viewer.library.choices[key]
        load = choice.load

        def held() -> Any:
            self.begun.set()
            assert self.go.wait(60)
            return load()

        object.__setattr__(choice, "load", held)

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 60)


def test_a_slow_file_never_takes_the_screen_from_what_was_wanted_after_it(
    in_viewer: Callable[..., None],
) -> None:
    async def use(viewer: Any) -> None:
        slow = Slow(viewer, "sample-tilted")
        first = asyncio.ensure_future(viewer.open("sample-tilted"))
        await slow.has_begun()
        await viewer.open("sample-second")
        assert viewer.server.state.volume == "sample-second"
        assert viewer.server.state.job.startswith("Reading"), "the slow one is still being read"
        slow.go.set()
        await first
        assert viewer.server.state.volume == "sample-second" == viewer.choice.key
        assert viewer.controller._selection.volume is viewer.volume
        assert viewer.server.state.job == ""
        await viewer.open("sample-tilted")
        assert viewer.choice.key == "sample-tilted", "what is wanted again is shown"

    in_viewer(use)


@pytest.mark.long
def test_what_is_wanted_twice_while_it_is_read_is_read_once(in_viewer: Callable[..., None]) -> None:
    async def use(viewer: Any) -> None:
        slow = Slow(viewer, "sample-second")
        both = [asyncio.ensure_future(viewer.open("sample-second")) for _ in range(2)]
        await slow.has_begun()
        slow.go.set()
        await asyncio.gather(*both)
        assert viewer.choice.key == "sample-second"
        nodes = viewer.app.scene.GetNodesByClass("vtkMRMLScalarVolumeNode")
        nodes.UnRegister(None)
        assert nodes.GetNumberOfItems() == 2, "with the sample of the start"

    in_viewer(use)


def test_an_upload_at_the_start_is_not_replaced_by_the_sample(tmp_path: Path) -> None:
    """The first volume is still being read when an upload is complete."""
    from SPASegmentLib.viewer.server import Service, prepare

    prepare()
    (tmp_path / "u1" / "0").mkdir(parents=True)
    sent = a_volume(tmp_path / "u1" / "0" / "sent.nrrd")

    async def main() -> None:
        service = Service(ViewerOptions(browser=False, port=_free_port()), keep=False)
        start_of = service_started_with_a_slow_sample(service)
        try:
            await start_of(sent)
            assert service.viewer.choice.label == "sent.nrrd"
        finally:
            await service.stop()

    def service_started_with_a_slow_sample(service: Any) -> Callable[[Any], Awaitable[None]]:
        from SPASegmentLib.viewer import app

        async def start(path: Path) -> None:
            original = app.Viewer.start

            async def slowly(viewer: Any) -> None:
                slow = Slow(viewer, "sample")
                starting = asyncio.ensure_future(original(viewer))
                await slow.has_begun()
                viewer.opening.upload_begins("u1")
                await viewer.open_upload(path, "sent.nrrd")
                slow.go.set()
                await starting

            app.Viewer.start = slowly
            try:
                await service.start()
            finally:
                app.Viewer.start = original

        return start

    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(main())).result(120)


@pytest.mark.long
def test_an_upload_that_was_followed_by_another_wish_is_in_the_list_only(
    in_viewer: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "u2" / "0").mkdir(parents=True)
    sent = a_volume(tmp_path / "u2" / "0" / "sent.nrrd")

    async def use(viewer: Any) -> None:
        viewer.opening.upload_begins("u2")
        await viewer.open("sample-second")
        await viewer.open_upload(sent, "sent.nrrd")
        assert viewer.choice.key == "sample-second"
        assert "sent.nrrd" in [item["title"] for item in viewer.server.state.volumes]
        assert viewer.server.state.problem.startswith("sent.nrrd was read and is in the list")

    in_viewer(use)


@pytest.mark.long
def test_an_upload_while_another_is_read_is_what_the_browser_shows(
    a_server: Any, new_page: Callable[..., Any], tmp_path: Path
) -> None:
    slow = tmp_path / "slow.nii.gz"
    noise = np.random.default_rng(0).integers(0, 300, (240, 40, 40)).astype(np.int16)
    large = sitk.GetImageFromArray(noise.repeat(10, axis=1).repeat(10, axis=2))
    sitk.WriteImage(large, str(slow), useCompression=True)
    quick = a_volume(tmp_path / "quick.nrrd")
    page = new_page(a_server.address)
    page.page.set_input_files("#upload", str(slow))
    page.wait("() => (trame.state.get('job') || '').includes('Reading slow')")
    page.page.set_input_files("#upload", str(quick))
    page.said("slow.nii.gz was read and is in the list of volumes")
    page.wait("() => !trame.state.get('job')")
    page.shows_volume("quick.nrrd")
    assert page.state("slice_text").split("·")[0].strip().endswith("of 9")
    listed = [item["title"] for item in page.state("volumes")]
    assert "slow.nii.gz" in listed and "quick.nrrd" in listed
    page.page.select_option("#volume", label="slow.nii.gz")
    page.wait("() => trame.state.get('slice_text').split('·')[0].trim().endsWith('of 240')")
    page.shows_volume("slow.nii.gz")
    page.page.select_option("#volume", "sample")
    page.wait("() => trame.state.get('volume') === 'sample'")


def test_a_volume_opens_whole_in_the_middle_as_it_was_acquired(
    in_viewer: Callable[..., None], tmp_path: Path
) -> None:
    thick, even = a_volume(tmp_path / "a.nrrd"), a_volume(tmp_path / "b.nrrd", spacing=(1, 1, 1))
    sagittal = a_volume(tmp_path / "c.nrrd", spacing=(1, 1, 4))
    image = sitk.ReadImage(str(sagittal))
    image.SetDirection([0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    sitk.WriteImage(image, str(sagittal))

    async def use(viewer: Any) -> None:
        state = viewer.server.state
        for key, orientation in zip(
            list(viewer.library.choices), ("Axial", "Axial", "Sagittal"), strict=False
        ):
            await viewer.open(key)
            assert state.orientation == orientation
            for width, height in ((900, 500), (500, 900), (640, 640)):
                viewer.large.window.process_resize_event(width, height)
                assert state.slice_text.startswith("5 of 9"), state.slice_text
                _is_whole(viewer, width, height)

    in_viewer(use, volumes=(thick, even, sagittal))


def _is_whole(viewer: Any, width: int, height: int) -> None:
    """The slice touches two sides of the view and reaches over none."""
    bounds = [0.0] * 6
    viewer.volume.GetRASBounds(bounds)
    to_view = np.linalg.inv(_array(viewer.large.node.GetXYToRAS()))
    corners = [to_view @ (r, a, s, 1.0) for r in bounds[:2] for a in bounds[2:4] for s in bounds[4:]]
    low, high = np.min(corners, axis=0)[:2], np.max(corners, axis=0)[:2]
    assert (low > -2).all() and high[0] < width + 2 and high[1] < height + 2, (low, high)
    assert max((high - low) / (width, height)) > 0.9, "it fills the view in one direction"
    assert np.allclose((low + high) / 2, (width / 2, height / 2), atol=2), "and lies in its middle"


def _array(matrix: Any) -> np.ndarray:
    return np.array([[matrix.GetElement(row, col) for col in range(4)] for row in range(4)])


def test_going_back_to_a_volume_finds_slice_zoom_window_and_structure_as_they_were(
    in_viewer: Callable[..., None],
) -> None:
    async def use(viewer: Any) -> None:
        state = viewer.server.state
        assert state.segment == "Nodule"
        viewer.navigation.orient("Coronal")
        viewer.navigation.scroll(3)
        viewer.choose_window("bone")
        viewer.name_segment("Vessel")
        before = (state.slice_text, state.window_text, viewer.large.node.GetFieldOfView())
        await viewer.open("sample-second")
        assert (state.orientation, state.segment) == ("Axial", "Nodule")
        await viewer.open("sample")
        assert (state.orientation, state.segment) == ("Coronal", "Vessel")
        assert (state.slice_text, state.window_text, viewer.large.node.GetFieldOfView()) == before

    in_viewer(use)


def test_a_photograph_is_one_of_one_without_sides_and_sizes(
    in_viewer: Callable[..., None], tmp_path: Path
) -> None:
    rows, cols = np.mgrid[:120, :160]
    disc = (rows - 60) ** 2 + (cols - 80) ** 2 < 30**2
    pixels = np.where(disc[..., None], (240, 180, 90), (60, 20, 10)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "fundus.png")

    async def use(viewer: Any) -> None:
        state = viewer.server.state
        assert state.slice_text == "1 of 1" and state.flat and state.slice_count == 1
        assert state.letters == [""] * 4 and state.unit == "px"
        assert state.segment == "Segment"
        picture = seen(viewer)
        assert np.percentile(picture, 99) - np.percentile(picture, 1) > 60
        for steps in (1, -1, 5):
            viewer.navigation.scroll(steps)
            assert state.slice_text == "1 of 1" and seen(viewer).max() > 60, "there are no black slices"
        node = viewer.large.node
        viewer.controller.seed(node.GetXYToRAS().MultiplyPoint((*_middle(node), 0, 1))[:3], slice_node=node)
        while viewer.controller.screen.busy:
            await asyncio.sleep(0.05)
        told = [card["name"] + card["meaning"] for card in state.screen["cards"]]
        assert told and not any("mm2" in text or "mm²" in text for text in told)

    in_viewer(use, volumes=(tmp_path / "fundus.png",))


def _middle(node: Any) -> tuple[float, float]:
    width, height, _ = node.GetDimensions()
    return width / 2, height / 2


def test_whole_numbers_of_64_bit_are_shown_as_those_of_16(
    in_viewer: Callable[..., None], tmp_path: Path
) -> None:
    paths = [
        a_volume(tmp_path / f"{kind.__name__}.nrrd", dtype=kind) for kind in (np.int16, np.int64, np.uint64)
    ]

    async def use(viewer: Any) -> None:
        for key in list(viewer.library.choices)[:3]:
            await viewer.open(key)
            viewer.choose_window("auto")
            picture = seen(viewer)
            assert np.percentile(picture, 99) - np.percentile(picture, 1) > 100, key

    in_viewer(use, volumes=tuple(paths))


def test_every_ct_has_presets_and_the_page_says_what_the_model_sees(
    in_viewer: Callable[..., None], tmp_path: Path
) -> None:
    path = a_volume(tmp_path / "ct.nii.gz")  # NIfTI states no modality

    async def use(viewer: Any) -> None:
        state = viewer.server.state
        for key in ("sample", next(iter(viewer.library.choices))):
            await viewer.open(key)
            assert state.window_text == "W 300  L 50", "the window of the command line"
            assert viewer.controller._settings.window == (-100.0, 200.0), "is the model's, too"
        assert state.is_ct
        viewer.choose_window("model")
        own = viewer.navigation.model_window
        assert (state.window, state.model_sees) == (("model", "") if own else ("auto", state.model_sees))
        viewer.choose_window("bone")
        assert state.window_text == "W 2000  L 550"
        if own:
            assert state.model_sees.startswith("the model sees W ")
        viewer.choose_window("manual", (-100.0, 300.0))
        assert (state.window_text, state.model_sees) == ("W 400  L 100", "")
        assert viewer.controller._settings.window == (-100.0, 300.0)
        viewer.choose_window("auto")
        assert viewer.controller._settings.window is None

    in_viewer(use, volumes=(path,), window=(-100.0, 200.0))


def model_sees(viewer: Any) -> tuple[str, Callable[[float, float], str]]:
    """The slice that a click in the middle of the view would segment, and the same cut in a given window."""
    from SPASegmentLib.mrml.slicing import cut_view

    navigation = viewer.controller._work._navigation
    volume, node = viewer.navigation._volume, viewer.navigation.node

    def within(low: float, high: float) -> str:
        return str(cut_view(volume, node, window=(low, high)).image.key)

    return navigation.cut(volume, node, None).image.key, within


def test_the_model_sees_the_window_that_the_user_sees(in_viewer: Callable[..., None], tmp_path: Path) -> None:
    """Of a preset, by hand and the file's own; automatic is soft tissue for a CT without lung."""

    async def use(viewer: Any) -> None:
        choice = list(viewer.library.choices.values())[1]  # the first is open already
        stated = replace(choice.load(), window=IntensityWindow(-60.0, 140.0))
        object.__setattr__(choice, "load", lambda: stated)
        await viewer.open(choice.key)
        state = viewer.server.state
        assert (state.window, state.window_text, state.model_sees) == ("file", "W 200  L 40", "")
        key, within = model_sees(viewer)
        assert key == within(-60, 140)
        for name, low, high in (("bone", -450, 1550), ("lung", -1350, 150), ("soft", -160, 240)):
            viewer.choose_window(name)
            assert state.model_sees == ""
            assert model_sees(viewer)[0] == within(low, high)
        viewer.choose_window("manual", (-500.0, 500.0))
        assert model_sees(viewer)[0] == within(-500, 500)
        viewer.choose_window("auto")
        assert state.model_sees == "the model sees soft tissue; all intensities where lung shows"
        assert model_sees(viewer)[0] == within(-160, 240)
        viewer.choose_window("file")
        assert model_sees(viewer)[0] == within(-60, 140)

    paths = a_volume(tmp_path / "first.nii.gz"), a_volume(tmp_path / "ct.nii.gz")
    in_viewer(use, volumes=paths, model="general")


@pytest.mark.long
@pytest.mark.parametrize(
    ("key", "window", "structure"),
    [("sample-abdomen", "soft", "Metastasis"), ("sample-brain", "auto", "Tumour")],
)
def test_the_samples_open_at_what_is_worth_clicking_in_their_own_window(
    in_viewer: Callable[..., None], tmp_path: Path, key: str, window: str, structure: str
) -> None:
    async def use(viewer: Any) -> None:
        await viewer.open(key)
        state, place = viewer.server.state, viewer.choice.places[0]
        assert (state.window, state.is_ct) == (window, key == "sample-abdomen")
        assert viewer.controller.screen.segment == structure
        assert viewer.navigation.centre() == pytest.approx(place.ras, abs=2)
        assert min(viewer.navigation.node.GetFieldOfView()[:2]) == pytest.approx(place.across)
        viewer.navigation.visit(viewer.choice.places[1].ras, viewer.choice.places[1].across)

    in_viewer(use, volumes=(a_volume(tmp_path / "ct.nii.gz"),))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "nope"], "nope"),
        (["--model", "/nowhere/nope.safetensors"], "There is no checkpoint at"),
        (["--window", "5", "-5"], "first intensity"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    from SPASegmentLib.cli.main import main

    with pytest.raises(SystemExit) as ended:
        main(["view", "--no-browser", *arguments])
    assert ended.value.code == 1
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_a_server_that_listens_everywhere_prints_an_address_others_can_type() -> None:
    from SPASegmentLib.viewer.security import _host_name
    from SPASegmentLib.viewer.server import address_for_others

    for host in ("0.0.0.0", "::"):
        assert address_for_others(host) not in ("", "0.0.0.0", "::")
    assert address_for_others("127.0.0.1") == "127.0.0.1"
    assert _host_name(f"{address_for_others('0.0.0.0')}:1") == address_for_others("0.0.0.0")


def test_a_mask_on_noise_is_doubted_and_no_button_invites_to_approve_it(
    in_viewer: Callable[..., None], tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).normal(0, 300, (5, 64, 64)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(tmp_path / "noise.nrrd"))

    async def use(viewer: Any) -> None:
        viewer.controller.seed(tuple(viewer.navigation.centre()), slice_node=viewer.navigation.node)
        for _ in range(600):
            await asyncio.sleep(0.1)
            if viewer.server.state.screen["cards"]:
                break
        shown = viewer.server.state.screen
        assert shown["doubtful"] and "approve" in shown["enabled"]
        assert shown["status"].startswith("Doubtful mask")

    in_viewer(use, volumes=(tmp_path / "noise.nrrd",), model="compact")
    page = (Path(page_module.__file__).parent / "assets" / "page.html").read_text(encoding="utf-8")
    assert "primary: !screen.doubtful" in page


@pytest.mark.long
def test_3d_gives_way_to_new_alternatives_and_is_there_again_after_the_approval(
    in_viewer: Callable[..., None],
) -> None:
    async def use(viewer: Any) -> None:
        async def until(true: Callable[[], bool]) -> None:
            for _ in range(600):
                if true():
                    return
                await asyncio.sleep(0.1)
            raise AssertionError(viewer.server.state.screen)

        def cards() -> int:
            return 0 if viewer.controller.screen.busy else len(viewer.controller.screen.cards)

        state, node = viewer.server.state, viewer.navigation.node
        viewer.controller.seed(tuple(viewer.navigation.centre()), slice_node=node)
        await until(lambda: cards() > 0)
        viewer.act("approve")
        await until(lambda: state.has_surface)
        assert not state.show_3d
        await viewer.toggle_3d()
        assert state.show_3d
        viewer.act("next_slice")
        await until(lambda: cards() > 0)
        assert not state.show_3d
        await viewer.toggle_3d()
        assert state.show_3d, "asked for, it stands over the alternatives"
        await viewer.toggle_3d()
        assert not state.show_3d
        await viewer.toggle_3d()
        viewer.act("pick:0")
        await until(lambda: viewer.controller.screen.iteration == 2 and cards() > 0)
        assert not state.show_3d
        viewer.act("approve")
        await until(lambda: not viewer.controller.screen.cards)
        assert state.show_3d

    in_viewer(use, model="compact")
