"""A scene with the made-up chest CT, its views, the shipped model, and a controller on them."""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import answers
import numpy as np
import pytest

from SPASegmentLib.imaging.sample import make_sample_volume, sample_seeds
from SPASegmentLib.imaging.types import Volume

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "slicer_app"))


from slicer_fixtures import *  # noqa: F403


@pytest.fixture
def view(slicer_app):
    """Make a slice view that follows a volume's axes, or is oblique to them."""
    from slicer_volumes import rotation, vtk_matrix

    def make(volume_node, orientation="Axial"):
        node = slicer_app.add_slice_view(
            f"View{slicer_app.scene.GetNumberOfNodes()}", "Axial" if orientation == "oblique" else orientation
        )
        slicer_app.show_volume(volume_node, [node])
        slicer_app.applicationLogic().GetSliceLogic(node).RotateSliceToLowestVolumeAxes(True)
        if orientation == "oblique":
            turn = np.eye(4)
            turn[:3, :3] = rotation(31, (1, 1, 0.3))
            before = node.GetSliceToRAS()
            now = turn @ np.array([[before.GetElement(r, c) for c in range(4)] for r in range(4)])
            centre = np.zeros(6)
            volume_node.GetRASBounds(centre)
            now[:3, 3] = centre.reshape(3, 2).mean(axis=1)
            before.DeepCopy(vtk_matrix(now))
            node.UpdateMatrices()
        return node

    return make


@pytest.fixture
def segmentation(slicer_app, a_volume_node):
    """The user's segmentation, empty."""
    from SPASegmentLib.mrml.segments import ensure_segmentation

    return ensure_segmentation(slicer_app.scene, a_volume_node, "findings")


@pytest.fixture
def editor(slicer_app, a_volume_node, segmentation):
    """The Segment Editor's settings: nothing masked, nothing overwritten."""
    node = slicer_app.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    node.SetAndObserveSegmentationNode(segmentation)
    node.SetAndObserveSourceVolumeNode(a_volume_node)
    node.SetOverwriteMode(node.OverwriteNone)
    return node


@pytest.fixture(scope="session")
def an_engine() -> Any:
    """The shipped model."""
    from SPASegmentLib.inference.local import load_engine

    return load_engine("compact", "cpu")


class Answering:
    """An engine that encodes nothing ahead and answers equal requests once: most tests end twice as soon."""

    warm = None

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def propose(self, request: Any, cancel: Any = None) -> Any:
        return answers.remembered(self._engine.propose, self._engine, request, cancel)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


@pytest.fixture
def answering(an_engine: Any) -> Any:
    """The engine of controllers."""
    return Answering(an_engine)


@pytest.fixture(scope="session")
def a_chest() -> Volume:
    """The sample, turned by 12 degrees, so that no axis of its grid is one of RAS; 1.25 x 1.25 x 1.5 mm."""
    volume = make_sample_volume()
    angle = np.deg2rad(12.0)
    turn = np.eye(4)
    turn[:3, :3] = _about(np.array([1.0, 2.0, 3.0]) / np.sqrt(14.0), angle)
    return Volume(volume.array, turn @ volume.ijk_to_ras, modality="CT", name="chest")


@pytest.fixture(scope="session")
def nodules(a_chest: Volume) -> list[tuple[float, float, float]]:
    """World RAS of the places worth clicking in `a_chest`."""
    back = a_chest.ijk_to_ras @ np.linalg.inv(make_sample_volume().ijk_to_ras)
    places = [back @ np.array([*seed.ras, 1.0]) for seed in sample_seeds()]
    return [(float(p[0]), float(p[1]), float(p[2])) for p in places]


def _about(axis: np.ndarray, angle: float) -> np.ndarray:
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


class Bench:
    """A controller on a scene, and what a test looks at."""

    def __init__(self, app: Any, engine: Any, chest: Volume, nodules: list, store: Any) -> None:
        from slicer_volumes import add_volume_node

        self.app, self.scene, self.chest, self.nodules = app, app.scene, chest, nodules
        self.engine, self.store = engine, store
        self._add = add_volume_node
        self.volume = add_volume_node(app.scene, chest)
        self.large = app.add_slice_view("Red", "Axial")
        self.small = [app.add_slice_view(f"Small{n}", "Axial") for n in range(4)]
        app.show_volume(self.volume)
        self.posted: queue.SimpleQueue = queue.SimpleQueue()
        self.screens: list[Any] = []
        self.benches: list[Any] = []
        self.controller = self.open()

    def open(self, **more: Any) -> Any:
        """A controller with volume and views chosen."""
        from SPASegmentLib.mrml.controller import Controller

        more = {"engine": self.engine, "store": self.store, **more}
        controller = Controller(self.scene, post=self.posted.put, **more)
        controller.subscribe(self.screens.append)
        controller.set_volume(self.volume)
        controller.set_views(self.large, self.small)
        self.benches.append(controller)
        return controller

    def add_volume(self) -> None:
        """The chest anew, as after loading it again, and chosen."""
        self.volume = self._add(self.scene, self.chest)
        self.app.show_volume(self.volume)
        self.controller.set_volume(self.volume)
        self.controller.set_views(self.large, self.small)

    def look(self, orientation: str) -> None:
        """Turn the views: along the volume's axes, or oblique to them all."""
        matrix = np.eye(4)
        axes = self.chest.ijk_to_ras[:3, :3] / np.linalg.norm(self.chest.ijk_to_ras[:3, :3], axis=0)
        right, up = {"axial": (0, 1), "sagittal": (1, 2), "coronal": (0, 2), "oblique": (0, 1)}[orientation]
        matrix[:3, 0] = -axes[:, right]
        matrix[:3, 1] = -axes[:, up] if up == 1 else axes[:, up]
        if orientation == "oblique":
            matrix[:3, :3] = _about(np.array([0.6, 0.8, 0.0]), np.deg2rad(31.0)) @ matrix[:3, :3]
        matrix[:3, 2] = np.cross(matrix[:3, 0], matrix[:3, 1])
        for node in (self.large, *self.small):
            node.GetSliceToRAS().DeepCopy(matrix.ravel())
            node.UpdateMatrices()

    def settle(self, seconds: float = 180) -> Any:
        """Wait until all is computed; the screen then."""
        assert self.controller.wait(seconds)
        return self.controller.screen

    def click(self, nodule: int = 0, *, positive: bool = True, by: tuple = (0.0, 0.0, 0.0)) -> Any:
        """A seed in a nodule, and the screen once its proposal is there."""
        ras = tuple(np.add(self.nodules[nodule], by))
        self.controller.seed(ras, positive=positive)
        return self.settle()

    @property
    def work(self) -> Any:
        """The work on the screen."""
        return self.controller._work.trail.current

    @property
    def segmentation(self) -> Any:
        """The only segmentation node of the user."""
        nodes = [n for n in _nodes(self.scene, "vtkMRMLSegmentationNode") if not n.GetHideFromEditors()]
        assert len(nodes) == 1
        return nodes[0]

    def voxels(self, name: str = "SPASegment") -> np.ndarray:
        """(K, J, I) bool of a segment."""
        from slicer_volumes import voxels_of

        node = self.segmentation
        return voxels_of(node, node.GetSegmentation().GetSegmentIdBySegmentName(name), self.chest)

    def on_grid(self, mask: np.ndarray, view: Any) -> np.ndarray:
        """(K, J, I) bool: where a mask of a slice belongs, by imaging's own reckoning."""
        from SPASegmentLib.imaging.geometry import paste_mask

        return paste_mask(view.in_plane_order(mask), view.voxel_plane, self.chest)


def _nodes(scene: Any, kind: str) -> list[Any]:
    found = scene.GetNodesByClass(kind)
    found.UnRegister(None)
    return [found.GetItemAsObject(n) for n in range(found.GetNumberOfItems())]


@pytest.fixture
def a_store(tmp_path: Path) -> Any:
    """An empty folder of profiles."""
    from SPASegmentLib.profiles.store import ProfileStore

    return ProfileStore(tmp_path / "profiles")


@pytest.fixture
def a_controller(
    slicer_app: Any, answering: Any, a_chest: Volume, nodules: list, a_store: Any
) -> Iterator[Bench]:
    """The controller on the chest CT, in an axial view."""
    bench = Bench(slicer_app, answering, a_chest, nodules, a_store)
    bench.look("axial")
    yield bench
    for controller in bench.benches:
        controller.close()


@pytest.fixture
def a_small_controller(
    slicer_app: Any, answering: Any, a_chest: Volume, nodules: list, a_store: Any
) -> Iterator[Bench]:
    """The controller on a part of the chest around the first nodule."""
    i, j, k = np.rint(np.linalg.inv(a_chest.ijk_to_ras) @ np.array([*nodules[0], 1.0]))[:3].astype(int)
    matrix = a_chest.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, :3] @ np.array([i - 24, j - 24, k - 12])
    part = a_chest.array[k - 12 : k + 12, j - 24 : j + 24, i - 24 : i + 24].copy()
    small = Volume(part, matrix, modality="CT", name="part of a chest")
    bench = Bench(slicer_app, answering, small, nodules[:1], a_store)
    bench.look("axial")
    yield bench
    for controller in bench.benches:
        controller.close()


@pytest.fixture
def nodes_of(slicer_app: Any) -> Callable[[str], list[Any]]:
    """All nodes of a class in the scene."""
    return lambda kind: _nodes(slicer_app.scene, kind)
