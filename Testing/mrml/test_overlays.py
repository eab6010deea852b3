"""Proposals over the views: what is drawn, where, and that nothing of the user's is touched."""

from __future__ import annotations

import colorsys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (the extra `viewer` brings it)")

from slicer_proposals import made_up_proposal  # noqa: E402
from slicer_views import scroll_to, zoom_to  # noqa: E402
from slicer_volumes import add_volume_node  # noqa: E402

from SPASegmentLib.imaging.sample import make_sample_volume, sample_seeds  # noqa: E402
from SPASegmentLib.imaging.types import PointPrompt  # noqa: E402
from SPASegmentLib.mrml.cards import cards_of  # noqa: E402
from SPASegmentLib.mrml.layout import LARGE, SMALL, link_views  # noqa: E402
from SPASegmentLib.mrml.overlays import OverlayColors, ProposalOverlays  # noqa: E402
from SPASegmentLib.mrml.slicing import cut_view  # noqa: E402
from SPASegmentLib.mrml.thumbnails import png_of, thumbnails  # noqa: E402
from SPASegmentLib.reporting.overlay import ADDED, REMOVED, Look  # noqa: E402

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
MODEL_WINDOW = (-1350.0, 150.0)


@pytest.fixture
def five(slicer_app, offscreen_views):
    """Show a volume in one large and four small views; gives the slice nodes."""

    def make(volume_node, orientation="Axial", sizes=((320, 320), (160, 160))):
        large = offscreen_views.add(LARGE, orientation, sizes[0])
        small = [offscreen_views.add(tag, orientation, sizes[1]) for tag in SMALL]
        display = volume_node.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(*MODEL_WINDOW)
        offscreen_views.show(volume_node)
        slicer_app.applicationLogic().GetSliceLogic(large).RotateSliceToLowestVolumeAxes(True)
        return large, small

    return make


def ids(nodes):
    return [node.GetID() for node in nodes]


def at(slice_node, ras):
    """(row, col) of a point of the world in the picture of a view."""
    to_xy = np.linalg.inv([[slice_node.GetXYToRAS().GetElement(r, c) for c in range(4)] for r in range(4)])
    x, y = (to_xy @ np.append(ras, 1.0))[:2]
    return slice_node.GetDimensions()[1] - 1 - round(y), round(x)


def differing(picture, plain):
    return np.abs(picture.astype(int) - plain).max(axis=-1) > 12


@pytest.mark.parametrize("orientation", ["Axial", "Sagittal", "Coronal", "oblique"])
def test_each_view_draws_its_part_where_it_lies(
    slicer_app, offscreen_views, five, a_volume_node, orientation
):
    large, small = five(a_volume_node, "Axial" if orientation == "oblique" else orientation)
    if orientation == "oblique":
        large.SetOrientation("Axial")  # of the world: the volume is rotated by 12 degrees
    bounds = np.zeros(6)
    a_volume_node.GetRASBounds(bounds)
    cut = cut_view(a_volume_node, large, at_ras=bounds.reshape(3, 2).mean(axis=1), window=MODEL_WINDOW)
    assert (cut.plane.axis is None) == (orientation == "oblique")
    centre = ((cut.shape[0] - 1) / 2 + 1, (cut.shape[1] - 1) / 2 - 1)
    proposal = made_up_proposal(cut.shape, centre, 7.0, cut.image.spacing)
    link_views(slicer_app.scene, large.GetID(), ids(small))
    zoom_to(large, cut, proposal.candidates[0].mask | proposal.candidates[3].mask)
    plain = {tag: offscreen_views.picture(tag) for tag in (LARGE, *SMALL)}
    overlays = ProposalOverlays(slicer_app.scene)
    overlays.show(cut, proposal, large=[large.GetID()], small=ids(small))
    drawn = {tag: offscreen_views.picture(tag) for tag in (LARGE, *SMALL)}
    expected = {LARGE: proposal.recommendation}
    for tag, candidate in zip(SMALL, proposal.candidates, strict=True):
        expected[tag] = candidate.mask ^ proposal.recommendation
    for (tag, mask), node in zip(expected.items(), (large, *small), strict=True):
        changed = differing(drawn[tag], plain[tag])
        rows, cols = np.indices(mask.shape)
        assert mask.sum() > 10, tag
        hits = [changed[at(node, cut.to_world(r, c))] for r, c in zip(rows[mask], cols[mask], strict=True)]
        assert np.mean(hits) > 0.95, tag
        away = ~(mask | proposal.recommendation)
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            away &= ~np.roll(mask | proposal.recommendation, step, axis)
        places = [at(node, cut.to_world(r, c)) for r, c in zip(rows[away], cols[away], strict=True)]
        height, width = changed.shape
        seen = [changed[r, c] for r, c in places if 0 <= r < height and 0 <= c < width]
        assert len(seen) > 100 and not np.any(seen), tag
    overlays.clear()
    for tag in (LARGE, *SMALL):
        np.testing.assert_array_equal(offscreen_views.picture(tag), plain[tag])


def test_the_overlay_stays_on_its_slice(slicer_app, offscreen_views, five, a_volume_node):
    large, small = five(a_volume_node)
    cut = cut_view(a_volume_node, large)
    proposal = made_up_proposal(cut.shape, (20, 18), 6, cut.image.spacing)
    overlays = ProposalOverlays(slicer_app.scene)
    for steps in (1, -1):
        scroll_to(large, cut.moved(steps))
        plain = offscreen_views.picture(LARGE)
        overlays.show(cut, proposal, large=[large.GetID()], small=ids(small))
        np.testing.assert_array_equal(offscreen_views.picture(LARGE), plain)
        scroll_to(large, cut)
        assert differing(offscreen_views.picture(LARGE), plain).any()
        overlays.clear()


def test_views_without_a_candidate_and_other_views_show_nothing(
    slicer_app, offscreen_views, five, a_volume_node
):
    large, small = five(a_volume_node)
    offscreen_views.add("Red", "Axial", (160, 160))
    offscreen_views.show(a_volume_node)
    cut = cut_view(a_volume_node, large)
    plain = {tag: offscreen_views.picture(tag) for tag in ("Red", *SMALL)}
    proposal = made_up_proposal(cut.shape, (20, 18), 6, cut.image.spacing, candidates=2)
    ProposalOverlays(slicer_app.scene).show(cut, proposal, large=[large.GetID()], small=ids(small))
    for tag in ("Red", *SMALL[2:]):
        np.testing.assert_array_equal(offscreen_views.picture(tag), plain[tag])
    for tag in SMALL[:2]:
        assert differing(offscreen_views.picture(tag), plain[tag]).any()


def lightness(colour):
    """CIE L* of an sRGB colour, 0 to 100."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(colour) / 255]
    y = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return 116 * np.cbrt(y) - 16 if y > 0.008856 else 903.3 * y


def test_additions_and_removals_differ_in_hue_lightness_and_pattern():
    colors = OverlayColors()
    hues = [colorsys.rgb_to_hsv(*(c / 255 for c in look.fill))[0] for look in (colors.added, colors.removed)]
    assert 0.25 < abs(hues[0] - hues[1]) < 0.75
    assert lightness(colors.added.fill) - lightness(colors.removed.fill) > 25
    rows, cols = np.ogrid[:60, :60]
    stripes, dots = (look.pattern(rows.astype(float), cols.astype(float), 4.0) for look in (ADDED, REMOVED))
    assert 0.2 < stripes.mean() < 0.5 and 0.1 < dots.mean() < 0.5
    # Stripes run on without an end; dots are islands.
    from scipy import ndimage

    assert ndimage.label(dots)[1] > ndimage.label(stripes)[1]


def test_patterns_are_seen_in_the_picture(slicer_app, offscreen_views, five, a_volume_node):
    large, small = five(a_volume_node, sizes=((320, 320), (320, 320)))
    cut = cut_view(a_volume_node, large)
    proposal = made_up_proposal(cut.shape, (20, 18), 7, cut.image.spacing)
    link_views(slicer_app.scene, large.GetID(), ids(small))
    zoom_to(large, cut, proposal.candidates[0].mask)
    ProposalOverlays(slicer_app.scene).show(cut, proposal, large=[large.GetID()], small=ids(small))
    for view, part in (
        (0, proposal.candidates[0].mask & ~proposal.recommendation),
        (2, proposal.recommendation & ~proposal.candidates[2].mask),
    ):
        picture = offscreen_views.picture(SMALL[view]).astype(int)
        where = [at(small[view], cut.to_world(r, c)) for r, c in np.argwhere(part)]
        shades = np.array(
            [picture[row - 2 : row + 3, col - 2 : col + 3].reshape(-1, 3) for row, col in where]
        ).reshape(-1, 3)
        bright = shades.sum(axis=1)
        assert np.percentile(bright, 90) - np.percentile(bright, 10) > 150


def test_nothing_of_the_users_is_touched_and_nothing_of_ours_is_saved(slicer_app, a_volume_node, tmp_path):
    node = slicer_app.add_slice_view("Red")
    slicer_app.show_volume(a_volume_node)
    slicer_app.applicationLogic().GetSliceLogic(node).RotateSliceToLowestVolumeAxes(True)
    mine = slicer_app.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    mine.CreateDefaultDisplayNodes()
    mine.GetSegmentation().AddEmptySegment("a", "a")
    before = mine.GetSegmentation().GetMTime(), mine.GetDisplayNode().GetMTime()
    nodes = slicer_app.scene.GetNumberOfNodes()
    cut = cut_view(a_volume_node, node)
    overlays = ProposalOverlays(slicer_app.scene)
    overlays.show(cut, made_up_proposal(cut.shape, (20, 18), 6), large=[node.GetID()], small=[])
    assert (mine.GetSegmentation().GetMTime(), mine.GetDisplayNode().GetMTime()) == before
    assert overlays.node is not mine
    ours = [overlays.node, *(overlays.node.GetNthDisplayNode(n) for n in range(5))]
    assert all(one.GetHideFromEditors() and not one.GetSaveWithScene() for one in ours)
    overlays.remove()
    assert slicer_app.scene.GetNumberOfNodes() == nodes
    overlays.show(cut, made_up_proposal(cut.shape, (20, 18), 6), large=[node.GetID()], small=[])
    slicer_app.save_scene(tmp_path / "a.mrb")
    slicer_app.load_scene(tmp_path / "a.mrb")
    found = slicer_app.scene.GetNodesByClass("vtkMRMLSegmentationNode")
    found.UnRegister(None)
    assert [found.GetItemAsObject(n).GetName() for n in range(found.GetNumberOfItems())] == ["mine"]


def test_the_subject_hierarchy_hears_nothing_of_the_overlays(slicer_app, a_volume_node):
    """It would write an error line at each event; the stand-in does so, and its log fails the test."""
    node = slicer_app.add_slice_view("Red")
    slicer_app.show_volume(a_volume_node)
    cut = cut_view(a_volume_node, node)
    overlays = ProposalOverlays(slicer_app.scene)
    for n in range(2):
        overlays.show(cut, made_up_proposal(cut.shape, (20, 18), 6), large=[node.GetID()], small=[])
        overlays.set_colors(OverlayColors(added=Look((255, 0, 0), 1.0, (255, 0, 0)), line=1 + n))
        overlays.clear()
    assert overlays.node.GetHideFromEditors()
    overlays.remove()
    assert slicer_app.log.errors == []


def test_overlays_come_back_after_the_scene_was_closed(slicer_app, add_volume, a_volume_node):
    from slicer_volumes import small_volume

    overlays = ProposalOverlays(slicer_app.scene)
    for n in range(2):
        volume = add_volume(small_volume(np.random.default_rng(n)))
        node = slicer_app.add_slice_view(f"Red{n}")
        slicer_app.show_volume(volume)
        cut = cut_view(volume, node)
        overlays.show(cut, made_up_proposal(cut.shape, (20, 18), 6), large=[node.GetID()], small=[])
        assert overlays.node is not None
        slicer_app.scene.Clear(False)
        assert overlays.node is None
        overlays.clear()
    overlays.remove()


def test_nodes_left_by_a_reloaded_module_are_swept_up(slicer_app, a_volume_node):
    node = slicer_app.add_slice_view("Red")
    slicer_app.show_volume(a_volume_node)
    cut = cut_view(a_volume_node, node)
    proposal = made_up_proposal(cut.shape, (20, 18), 6)
    ProposalOverlays(slicer_app.scene).show(cut, proposal, large=[node.GetID()], small=[])
    count = slicer_app.scene.GetNumberOfNodes()
    ProposalOverlays(slicer_app.scene).show(cut, proposal, large=[node.GetID()], small=[])
    assert slicer_app.scene.GetNumberOfNodes() == count


def test_an_empty_proposal_shows_nothing(slicer_app, a_volume_node):
    node = slicer_app.add_slice_view("Red")
    slicer_app.show_volume(a_volume_node)
    cut = cut_view(a_volume_node, node)
    overlays = ProposalOverlays(slicer_app.scene)
    proposal = made_up_proposal(cut.shape, (20, 18), 6)
    overlays.show(cut, proposal, large=[node.GetID()], small=[])
    nothing = replace(proposal, recommendation=np.zeros(cut.shape, bool), candidates=())
    overlays.show(cut, nothing, large=[node.GetID()], small=[])
    assert not any(overlays.node.GetNthDisplayNode(n).GetVisibility() for n in range(5))


def test_colours_can_be_changed_while_shown(slicer_app, offscreen_views, five, a_volume_node):
    large, small = five(a_volume_node)
    cut = cut_view(a_volume_node, large)
    overlays = ProposalOverlays(slicer_app.scene)
    overlays.show(cut, made_up_proposal(cut.shape, (20, 18), 6), large=[large.GetID()], small=ids(small))
    before = offscreen_views.picture(LARGE)
    red = Look((255, 0, 0), 1.0, (255, 0, 0))
    overlays.set_colors(OverlayColors(recommendation=red))
    after = offscreen_views.picture(LARGE).astype(int)
    assert ((after[..., 0] > 200) & (after[..., 1] < 60)).sum() > 200
    assert differing(before, after).any()


def test_cards_have_the_recommendation_and_each_candidate(slicer_app, a_volume_node):
    from matplotlib.image import imread

    node = slicer_app.add_slice_view("Red")
    slicer_app.show_volume(a_volume_node)
    cut = cut_view(a_volume_node, node)
    pictures = thumbnails(cut.image, made_up_proposal(cut.shape, (20, 18), 6), across=96)
    assert len(pictures) == 5 and len(set(pictures)) == 5
    for picture in pictures:
        assert imread(BytesIO(picture), format="png").shape == (96, 96, 3)
    corner = np.zeros((40, 30, 3), np.uint8)
    corner[0, 0] = (255, 128, 0)
    read = imread(BytesIO(png_of(corner)), format="png")
    np.testing.assert_allclose(read * 255, corner, atol=0.5)


def test_cards_say_areas_as_people_write_them(slicer_app, a_volume_node):
    node = slicer_app.add_slice_view("Red")
    slicer_app.show_volume(a_volume_node)
    cut = cut_view(a_volume_node, node)
    proposal = made_up_proposal(cut.shape, (20, 18), 6)
    told = replace(proposal.candidates[0].description, name="with a part, +18 mm2: grows at the left")
    first = replace(proposal.candidates[0], description=told)
    card = cards_of(cut.image, replace(proposal, candidates=(first, *proposal.candidates[1:])))[1]
    assert (card.name, card.meaning) == ("with a part, +18 mm²", "grows at the left")


@pytest.mark.slow
def test_the_five_views_are_drawn_for_the_documentation(slicer_app, offscreen_views, five, tmp_path):
    """Where SPASEGMENT_DRAW_DOCS is set, the picture goes to docs/images/views.png."""
    import os

    from SPASegmentLib.inference.local import load_engine
    from SPASegmentLib.inference.messages import ProposalRequest

    volume = make_sample_volume(rotated=True)
    node = add_volume_node(slicer_app.scene, volume)
    large, small = five(node, sizes=((640, 640), (318, 318)))
    seed = sample_seeds(rotated=True)[3].ras
    engine = load_engine("compact", "cpu")
    cut = cut_view(node, large, at_ras=seed, model_window=engine.model.window)
    proposal = engine.propose(ProposalRequest(cut.image, (PointPrompt(*cut.to_pixel(seed)),)))
    scroll_to(large, cut)
    together = np.logical_or.reduce([proposal.recommendation, *(one.mask for one in proposal.candidates)])
    zoom_to(large, cut, together)
    link_views(slicer_app.scene, large.GetID(), ids(small))
    ProposalOverlays(slicer_app.scene).show(cut, proposal, large=[large.GetID()], small=ids(small))
    picture = offscreen_views.side_by_side(LARGE, SMALL)
    folder = IMAGES if os.environ.get("SPASEGMENT_DRAW_DOCS") else tmp_path
    (folder / "views.png").write_bytes(png_of(picture))
    assert picture.shape == (640, 1284, 3)
    yellow = (picture[..., 0] > 200) & (picture[..., 1] > 180) & (picture[..., 2] < 120)
    blue = (picture[..., 2].astype(int) - picture[..., 0]) > 60
    orange = (picture[..., 0].astype(int) - picture[..., 2]) > 80
    assert yellow[:, :640].sum() > 1000 and blue[:, 640:].sum() > 2000 and orange[:, 640:].sum() > 2000
    assert not blue[:, :640].any()
