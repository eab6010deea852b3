"""Approvals kept for `spasegment adapt`: only where a folder is chosen, and gone when taken back."""

from __future__ import annotations

from pathlib import Path

from SPASegmentLib.profiles.approvals import ApprovalFolder


def approved(bench, folder: Path | None):
    bench.controller.set_keep_approved(folder)
    bench.click()
    bench.controller.approve()
    return bench.settle()


def test_nothing_is_kept_without_a_folder(a_controller, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    screen = approved(a_controller, None)
    assert list(tmp_path.iterdir()) == [] and "kept" not in screen.detail


def test_an_approval_is_kept_once_and_follows_undo_and_redo(a_controller, tmp_path):
    store = ApprovalFolder(tmp_path / "kept")
    screen = approved(a_controller, store.folder)
    assert "approvals are kept" in screen.detail
    (kept,) = store.read()
    assert str(tmp_path) not in a_controller.controller.to_state(), "a scene to give away names no folder"
    mask = a_controller.work.session.result().mask
    assert kept.mask.sum() == mask.sum() and kept.image.modality == "CT"
    a_controller.controller.set_learn(False)
    a_controller.settle()
    assert len(store.read()) == 1
    a_controller.controller.undo()
    a_controller.settle()
    assert store.read() == ()
    a_controller.controller.redo()
    a_controller.settle()
    assert len(store.read()) == 1


def test_objects_of_one_volume_are_known_to_belong_together(a_controller, tmp_path):
    store = ApprovalFolder(tmp_path / "kept")
    approved(a_controller, store.folder)
    a_controller.controller.next_slice()
    a_controller.settle()
    a_controller.controller.approve()
    a_controller.settle()
    first, second = store.read()
    assert first.group == second.group


def test_a_folder_that_cannot_be_written_is_said_and_the_mask_stays(a_controller, tmp_path):
    (tmp_path / "file").touch()
    screen = approved(a_controller, tmp_path / "file")
    assert "was not kept" in screen.status and screen.tone == "problem"
    assert a_controller.work.finished
