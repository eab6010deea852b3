"""The whole interaction in a real browser: what a newcomer does in the first five minutes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from SPASegmentLib.profiles.store import ProfileStore

PROFILE = "Dr. A, nodules"


@pytest.fixture(scope="module")
def a_fresh_server(new_server: Callable[..., Any]) -> Any:
    """As a newcomer starts it: the usual model, and no library loaded before."""
    return new_server(fresh=True)


def choose_new_profile(page: Any, name: str) -> None:
    page.page.select_option("#profile", "+")
    page.page.fill("#new-profile", name)
    page.page.press("#new-profile", "Enter")
    page.wait("(name) => trame.state.get('profile') === name", name)


def download(page: Any, button: str, folder: Path) -> Path:
    with page.page.expect_download(timeout=60_000) as waiting:
        page.page.click(button)
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def voxels_in_slicer(path: Path, like: np.ndarray) -> dict[str, np.ndarray]:
    """The segments of a .seg.nrrd as Slicer reads them, on the sample volume's grid."""
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    from SPASegmentLib.imaging.sample import make_sample_volume
    from SPASegmentLib.viewer.volumes import add_segmentation_node, add_volume_node

    scene = slicer.vtkMRMLScene()
    volume = add_volume_node(scene, make_sample_volume())
    node = add_segmentation_node(scene, volume)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    whole = node.GetSegmentation()
    found = {}
    for i in range(whole.GetNumberOfSegments()):
        image = slicer.vtkOrientedImageData()
        assert node.GetBinaryLabelmapRepresentation(whole.GetNthSegmentID(i), image)
        in_place = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(in_place)
        expected = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(expected)
        for row, col in np.ndindex(4, 4):
            assert in_place.GetElement(row, col) == pytest.approx(expected.GetElement(row, col), abs=1e-4)
        i0, i1, j0, j1, k0, k1 = image.GetExtent()
        mask = np.zeros(like.shape, bool)
        box = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
        mask[k0 : k1 + 1, j0 : j1 + 1, i0 : i1 + 1] = box > 0
        found[whole.GetNthSegment(i).GetName()] = mask
    return found


def test_two_slices_from_the_first_click_to_the_file(
    a_fresh_server: Any, new_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = new_page(a_fresh_server.address)
    assert page.screen["status"] == "Click a seed on the object."
    choose_new_profile(page, PROFILE)

    empty = page.pictures()
    page.click_at()
    page.proposed(1)
    page.changed(empty)
    names = [card["name"] for card in page.screen["cards"]]
    assert len(set(names)) == 4 and all(names)
    for k, name in enumerate(names, start=1):
        assert name in page.page.inner_text(f"#candidate-{k}")

    first = page.pictures()
    page.page.keyboard.press("2")
    page.proposed(2)
    page.changed(first, range(1, 5))
    page.page.keyboard.press("1")
    page.proposed(3)
    page.page.keyboard.press("u")
    page.proposed(2)
    page.page.click("#approve")
    page.said("Approved")
    about, (mask,) = a_fresh_server.truth()
    assert mask.any() and mask.any(axis=(1, 2)).sum() == 1
    slice_before = about["offsets"][0]

    page.page.keyboard.press("ArrowUp")
    page.proposed(1)
    page.page.click("#approve")
    page.said("Approved")
    about, (mask,) = a_fresh_server.truth()
    assert about["segments"] == ["Nodule"]
    assert mask.any(axis=(1, 2)).sum() == 2
    assert about["offsets"][0] - slice_before == pytest.approx(1.5)
    assert about["offsets"] == pytest.approx([about["offsets"][0]] * 5)

    path = download(page, "#download-seg", tmp_path)
    assert path.name == "chest-CT-Nodule.seg.nrrd"
    found = voxels_in_slicer(path, mask)
    assert list(found) == ["Nodule"]
    assert np.array_equal(found["Nodule"], mask)

    path = download(page, "#download-nii", tmp_path)
    from SPASegmentLib.imaging.files import read_volume
    from SPASegmentLib.imaging.sample import make_sample_volume

    labels, sample = read_volume(path), make_sample_volume()
    assert np.array_equal(labels.array > 0, mask > 0)
    assert np.allclose(labels.ijk_to_ras, sample.ijk_to_ras, atol=1e-3)

    page.wait("() => trame.state.get('screen').detail.includes('(2 images)')")
    kept = ProfileStore(a_fresh_server.home / "profiles").load(PROFILE)
    assert len(kept.slices) == 2 and kept.n_images == 2
    assert page.complaints == []


def test_nothing_is_asked_of_another_machine(a_server: Any, new_page: Callable[..., Any]) -> None:
    page = new_page(a_server.address)
    page.begin(2).click_at()
    page.proposed(1)
    asked = [url for url in page.requests if not url.startswith(("data:", "blob:"))]
    assert len(asked) > 5 and any(url.startswith("ws:") for url in asked)
    assert {urlsplit(url).hostname for url in asked} == {"127.0.0.1"}
    policy = page.page.request.get(a_server.address).headers["content-security-policy"]
    assert "default-src 'self'" in policy


def test_a_reload_keeps_the_interaction(a_server: Any, new_page: Callable[..., Any]) -> None:
    page = new_page(a_server.address)
    page.begin(1)
    page.click_at()
    page.proposed(1)
    page.page.keyboard.press("3")
    page.proposed(2)
    names = [card["name"] for card in page.screen["cards"]]
    page.page.reload()
    page.page.wait_for_selector("#candidate-4", timeout=60_000)
    assert [card["name"] for card in page.screen["cards"]] == names
    assert page.screen["iteration"] == 2
    page.page.keyboard.press("4")
    page.proposed(3)
    page.page.keyboard.press("Backspace")
    page.proposed(2)


def test_it_can_be_used_by_keyboard_alone(a_server: Any, new_page: Callable[..., Any]) -> None:
    page = new_page(a_server.address)
    keys = page.page.keyboard
    page.begin(3)
    keys.press("Control+ArrowRight")
    page.wait("() => trame.state.get('cursor') !== null")
    keys.press("Control+ArrowLeft")
    keys.press("Space")
    page.proposed(1)
    keys.press("0")
    page.proposed(2)
    keys.press("Shift+1")
    page.said("Taken")
    keys.press("Backspace")
    page.proposed(2)
    keys.press("Shift+Backspace")
    page.said("Taken")
    keys.press("?")
    page.page.wait_for_selector(".help button:focus")
    keys.press("2")
    keys.press("Escape")
    page.page.wait_for_selector(".help", state="detached")
    assert page.screen["tone"] == "done"


@pytest.mark.long
def test_every_control_is_reached_by_tab_and_seen_to_be(a_server: Any, new_page: Callable[..., Any]) -> None:
    page = new_page(a_server.address).begin(3)
    page.click_at()
    page.proposed(1)
    wanted = page.page.evaluate(
        """() => [...document.querySelectorAll('button, select, input')]
        .filter((e) => !e.disabled && e.getBoundingClientRect().width).length"""
    )
    page.page.evaluate("() => document.querySelector('#show-help').focus()")
    page.page.keyboard.press("Shift+Tab")
    reached: list[str] = []
    while len(reached) < wanted:
        page.page.keyboard.press("Tab")
        name, width = page.page.evaluate(
            """() => { const e = document.activeElement;
            const name = e.id || e.getAttribute("aria-label") || e.innerText;
            return [name, getComputedStyle(e).outlineWidth]; }"""
        )
        assert name and width == "2px", (name, reached)
        reached.append(name)
    assert len(set(reached)) == wanted, reached
    order = [name for name in reached if name in ("volume", "segment", "approve", "undo")]
    assert order == ["volume", "segment", "approve", "undo"], reached


@pytest.mark.long
def test_after_a_click_enter_still_approves(a_server: Any, new_page: Callable[..., Any]) -> None:
    page = new_page(a_server.address).begin(3)
    page.click_at()
    page.proposed(1)
    page.page.locator(".cover").nth(1).click()
    page.proposed(2)
    page.page.select_option("#window", "bone")
    page.page.keyboard.press("Enter")
    page.said("Approved")
    page.page.keyboard.press("Backspace")
    page.proposed(2)


def test_orientation_window_and_slice_follow_the_panel(a_server: Any, new_page: Callable[..., Any]) -> None:
    page = new_page(a_server.address)
    page.page.click("#orientation-Coronal")
    page.wait("() => trame.state.get('letters').join('') === 'SLIR'")
    page.page.click("#orientation-Axial")
    page.wait("() => trame.state.get('letters').join('') === 'ALPR'")
    for name, words in (("bone", "W 2000"), ("soft", "W 400"), ("lung", "W 1500")):
        page.page.select_option("#window", name)
        page.wait("(words) => trame.state.get('window_text').startsWith(words)", words)
    before = page.pictures()
    page.page.locator("#slice").press("Home")
    page.wait("() => trame.state.get('slice_text').startsWith('1 of 160')")
    page.changed(before)


def test_the_approved_segment_is_shown_in_3d(a_fresh_server: Any, new_page: Callable[..., Any]) -> None:
    page = new_page(a_fresh_server.address)
    page.wait("() => trame.state.get('has_surface')")
    page.page.click("#toggle-3d")
    page.page.wait_for_selector(".solid img", timeout=60_000)
    page.wait(
        """() => {
        const img = document.querySelector('.solid img');
        if (!img || img.naturalWidth < 20) return false;
        const c = document.createElement('canvas'); c.width = c.height = 64;
        const g = c.getContext('2d'); g.drawImage(img, 0, 0, 64, 64);
        const p = g.getImageData(0, 0, 64, 64).data; let n = 0;
        for (let i = 0; i < p.length; i += 4) if (p[i + 1] > p[i] + 40) n++; // the segment is green
        return n > 60; }"""
    )
    page.page.click("#toggle-3d")
    page.page.wait_for_selector(".solid img", state="detached")


@pytest.mark.long
def test_switching_volumes_loses_nothing(a_fresh_server: Any, new_page: Callable[..., Any]) -> None:
    page = new_page(a_fresh_server.address)
    _, (before,) = a_fresh_server.truth()
    page.page.select_option("#volume", "sample-second")
    page.wait("() => trame.state.get('volume') === 'sample-second' && !trame.state.get('has_surface')")
    page.page.select_option("#volume", "sample")
    page.wait("() => trame.state.get('volume') === 'sample' && trame.state.get('has_surface')")
    _, (after,) = a_fresh_server.truth()
    assert before.any() and np.array_equal(before, after)
