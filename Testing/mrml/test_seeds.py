"""Seeds as markups: placed, read, told apart, found again in a saved scene."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (the extra `viewer` brings it)")

from slicer_volumes import add_transform  # noqa: E402

from SPASegmentLib.mrml.seeds import NEGATIVE, POSITIVE, Seed, SeedPoints  # noqa: E402


def test_points_are_read_as_they_were_put(slicer_app):
    points = SeedPoints(slicer_app.scene)
    points.add((1.5, -2.0, 30.25))
    points.add((4, 5, 6), positive=False)
    assert points.read() == (Seed((1.5, -2.0, 30.25)), Seed((4.0, 5.0, 6.0), False))
    points.clear()
    assert points.read() == ()


def test_signs_have_colours_of_their_own(slicer_app):
    points = SeedPoints(slicer_app.scene)
    points.add((0, 0, 0))
    points.add((1, 0, 0), positive=False)
    display = points.node.GetDisplayNode()
    assert display.GetSelectedColor() == pytest.approx(POSITIVE)
    assert display.GetColor() == pytest.approx(NEGATIVE)
    assert [points.node.GetNthControlPointSelected(n) for n in range(2)] == [True, False]
    assert [points.node.GetNthControlPointLabel(n) for n in range(2)] == ["+", "-"]


def test_positions_are_those_of_the_world(slicer_app):
    points = SeedPoints(slicer_app.scene)
    matrix = np.eye(4)
    matrix[:3, 3] = (10, 0, 0)
    points.node.SetAndObserveTransformNodeID(add_transform(slicer_app.scene, matrix).GetID())
    points.add((1, 2, 3))
    assert points.read() == (Seed((1.0, 2.0, 3.0)),)


def test_a_point_the_user_places_is_told(slicer_app):
    points = SeedPoints(slicer_app.scene)
    told = []
    end = points.observe(told.append)
    import vtk

    at = points.node.AddControlPointWorld(vtk.vtkVector3d(7, 8, 9))
    assert told == [Seed((7.0, 8.0, 9.0))] and at == 0
    end()
    points.add((1, 1, 1))
    assert len(told) == 1


def test_points_that_are_only_previewed_are_no_seeds(slicer_app):
    points = SeedPoints(slicer_app.scene)
    points.add((1, 2, 3))
    points.node.AddControlPointWorld(0.0, 0.0, 0.0)
    points.node.UnsetNthControlPointPosition(1)
    assert points.read() == (Seed((1.0, 2.0, 3.0)),)


def test_the_list_is_found_again_in_a_saved_scene(slicer_app, tmp_path):
    points = SeedPoints(slicer_app.scene)
    points.add((1, 2, 3))
    points.add((4, 5, 6), positive=False)
    seeds = points.read()
    slicer_app.save_scene(tmp_path / "a.mrb")
    slicer_app.load_scene(tmp_path / "a.mrb")
    assert SeedPoints(slicer_app.scene).read() == seeds
    points.show(seeds[:1])
    assert points.read() == seeds[:1]
    points.remove()
    assert points.read() == ()
