"""The parameter node: what is chosen, and what goes on, kept with the scene and taken up from it."""

from __future__ import annotations

import logging
from collections.abc import Callable

import slicer
import vtk
from slicer.i18n import tr as _


class SceneLink:
    """Holds the parameter node of the present scene and keeps controller, selectors and node at one."""

    def __init__(
        self, ui, logic, controller: Callable[[], object], volume_chosen: Callable[[object], None]
    ) -> None:
        """controller: gives the present one, or None. volume_chosen: another volume is worked on now."""
        self._ui, self._logic, self._controller = ui, logic, controller
        self._volume_chosen = volume_chosen
        self.parameters = None
        self._observed: tuple | None = None
        self._gui_tag: int | None = None
        self._pushing = False
        self._pushed: dict[str, object] = {}
        self._state = ""
        self._leaving = None
        self._editor: tuple | None = None

    @property
    def volume(self):
        """The chosen volume node, or None."""
        return self.parameters.volume if self.parameters is not None else None

    def adopt(self) -> None:
        """Take the parameter node of the present scene, and go on from what it holds."""
        parameters = self._logic.getParameterNode()
        if self._observed is not None and self._observed[0] is parameters.parameterNode:
            return
        self.release()
        self.parameters = parameters
        node = parameters.parameterNode
        self._observed = (node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_modified))
        self._gui_tag = parameters.connectGui(self._ui)
        state = parameters.state
        self.push()
        if state and state != self._state and self._controller() is not None:
            self._state = state
            self._controller().from_state(state)

    def release(self) -> None:
        """Let go of the parameter node."""
        if self._observed is not None:
            node, tag = self._observed
            node.RemoveObserver(tag)
        if self.parameters is not None and self._gui_tag is not None:
            self.parameters.disconnectGui(self._gui_tag)
        self.parameters = self._observed = self._gui_tag = None
        self._pushed = {}

    def begin_anew(self) -> None:
        """Let go of the node and of what was known of it."""
        self.release()
        self._state = ""

    def scene_read(self) -> None:
        """Another scene was read: if its node holds another state than ours, it is the one that counts."""
        if self.parameters is None:
            return
        # Slicer looked for the nodes it names while they were not there yet, and remembers None.
        self.parameters.parameterNode.Modified()
        if self.parameters.state != self._state:
            self.release()

    def push(self) -> None:
        """Tell the controller what is chosen now; only what changed."""
        controller = self._controller()
        if self.parameters is None or controller is None or self._pushing:
            return
        if slicer.mrmlScene.IsBatchProcessing():
            return
        self._pushing = True
        try:
            self._push_volume(controller)
            segmentation, before = self.parameters.segmentation, self._pushed.get("segmentation")
            if segmentation is not None and before is not None and self._is_gone(before):
                segmentation = self.parameters.segmentation = controller.segmentation
            if self._changed("segmentation", segmentation):
                self._ui.segmentSelector.setCurrentNode(segmentation)
                controller.set_segmentation(segmentation)
            self._push_segment(controller)
        finally:
            self._pushing = False
        editor = self._editor[0] if self._editor else None
        editor = editor or slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentEditorNode")
        if self._changed("editor", editor):
            controller.set_editor_node(editor)

    def lend(self, editor_node, save_state: Callable[[], object] | None) -> None:
        """Heed this editor's masking and save its state before each write; None: as before."""
        self._editor = (editor_node, save_state) if editor_node is not None else None

    def choose(self, volume, segmentation, segment: str) -> None:
        """Work on these, as if they were chosen in the selectors."""
        parameters = self.parameters
        if parameters is None:
            return
        parameters.volume = volume  # brings its own segmentation along
        parameters.segmentation = segmentation
        parameters.segment = segment
        self.push()

    def _push_volume(self, controller) -> None:
        """Another volume brings its own segmentation along, where no other was chosen together with it.

        When a node is removed its selector goes on to another one by itself, which nobody has chosen.
        """
        volume, before = self.parameters.volume, self._pushed.get("volume")
        if volume is not before and before is not None and self._is_gone(before):
            self._pushed["volume"] = None
            if volume is not None:
                self.parameters.volume = None
            return
        chosen = self.parameters.segmentation
        if not self._changed("volume", volume):
            return
        controller.set_volume(volume)
        if volume is not None and (chosen is None or chosen is self._pushed.get("segmentation")):
            self.parameters.segmentation = controller.segmentation
        self._volume_chosen(volume)

    def _is_gone(self, node) -> bool:
        return node is self._leaving or node.GetScene() is None

    def node_leaves(self, node) -> None:
        """A node is about to be removed. To be told before the selectors are."""
        self._leaving = node

    def node_left(self) -> None:
        """It is removed."""
        left, self._leaving = self._leaving, None
        if left is not None and self.parameters is not None and self.parameters.volume is None:
            self._ui.volumeSelector.setCurrentNode(None)

    def choose_the_only_volume(self) -> None:
        """Where no volume is chosen and the scene has but one, that is the one."""
        if self.parameters is None or self.volume is not None or slicer.mrmlScene.IsBatchProcessing():
            return
        volumes = [
            node
            for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            if not node.IsA("vtkMRMLLabelMapVolumeNode") and not node.GetHideFromEditors()
        ]
        if len(volumes) == 1 and volumes[0].GetImageData() is not None:
            self.parameters.volume = volumes[0]

    def _push_segment(self, controller) -> None:
        selector, segment = self._ui.segmentSelector, self.parameters.segment
        if segment and segment != selector.currentSegmentID():
            selector.setCurrentSegmentID(segment)
        segment = self._selected()
        if segment != self.parameters.segment:
            self.parameters.segment = segment
        if self._changed("segment", segment):
            controller.set_segment(segment or None)

    def _selected(self) -> str:
        """The segment in the selector, which goes on naming one that went with its scene; "" then."""
        segment, node = str(self._ui.segmentSelector.currentSegmentID() or ""), self.parameters.segmentation
        if node is None or not segment or node.GetSegmentation().GetSegment(segment) is None:
            return ""
        return segment

    def segment_chosen(self, identity: str) -> None:
        """The user chose another segment."""
        if self.parameters is not None and not self._pushing:
            self.parameters.segment = str(identity)
            self.push()

    def ensure_target(self) -> None:
        """Make the segmentation and the segment that approved masks will go to, where none is chosen."""
        if self.volume is None:
            return
        from SPASegmentLib.mrml.segments import ensure_segment, ensure_segmentation

        if self.parameters.segmentation is None:
            name = _("{volume} segmentation").format(volume=self.volume.GetName())
            self.parameters.segmentation = ensure_segmentation(slicer.mrmlScene, self.volume, name)
            self.push()
        if not self._selected():
            self.parameters.segment = ensure_segment(self.parameters.segmentation, _("Object"))
            self.push()

    def before_change(self) -> None:
        """Let Ctrl+Z in the Segment Editor take an approval back, where it works on the same segmentation."""
        if self._editor is not None:
            self._editor[1]()
            return
        widget = getattr(slicer.modules, "SegmentEditorWidget", None)
        editor = getattr(widget, "editor", None)
        if editor is None or self.parameters is None or self.parameters.segmentation is None:
            return
        if editor.segmentationNode() is self.parameters.segmentation:
            editor.saveStateForUndo()

    def name_segment(self, name: str) -> None:
        """Call the segment that is worked on by this name; there must be one."""
        segmentation = self.parameters.segmentation
        segmentation.GetSegmentation().GetSegment(self.parameters.segment).SetName(name)

    def new_segment(self) -> None:
        """Add a segment and go on in it."""
        if self.volume is None:
            return
        if self.parameters.segmentation is None:
            self.ensure_target()
            return
        from SPASegmentLib.mrml.colours import add_segment

        segments = self.parameters.segmentation.GetSegmentation()
        self.parameters.segment = add_segment(segments, segments.GenerateUniqueSegmentID(_("Object")))
        self.push()

    def keep(self, profile: str) -> None:
        """Write what is going on into the node. Slicer does not say when it saves."""
        controller = self._controller()
        if self._observed is None or controller is None or self._observed[0].GetScene() is None:
            return
        if self.parameters.state != self._state:
            return  # a scene was just read; what it holds is taken up, not written over
        if self.parameters.profile != profile:
            self.parameters.profile = profile
        try:
            state = controller.to_state()
        except Exception:
            logging.exception("SPASegment: the state could not be kept")
            return
        self._state = state
        if state != self.parameters.state:
            self.parameters.state = state

    def _on_modified(self, caller=None, event=None) -> None:
        """Something in the node changed: by a selector, by undo, by a script."""
        self.push()

    def _changed(self, name: str, value: object) -> bool:
        if name in self._pushed and (self._pushed[name] is value or self._pushed[name] == value):
            return False
        self._pushed[name] = value
        return True
