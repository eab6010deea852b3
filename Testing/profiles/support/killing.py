"""Kill processes that write one profile, at random moments, and look at the profile after each kill.

usage: killing.py FOLDER KILLS SEED. Two processes teach the profile "P" and note each pick once it is
acknowledged; each kill is followed by a load that must hold whatever had been acknowledged before it.
Prints "KILLS kills, LESSONS lessons, RETRACTED taken back".
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from SPASegmentLib.profiles.profile import new_profile
from SPASegmentLib.profiles.records import AnswerRecord, ModelReference, SliceEvidence, new_id, now
from SPASegmentLib.profiles.store import ProfileStore

M = 16


def teach_for_ever(folder: Path, notes: Path) -> None:
    """Commit slices, take some of them back, and note what was acknowledged."""
    store, chance = ProfileStore(folder), random.Random(os.urandom(8))
    with notes.open("ab", buffering=0) as file:
        while True:
            pick = AnswerRecord(recommended_mm2=1.0, shown=(), picked=None, log_likelihood=(-1.0,) * M)
            item = SliceEvidence(id=new_id(), image=new_id(), date=now(), outcome="approved", picks=(pick,))
            store.commit("P", item)
            file.write(f"+{item.id}\n".encode())
            if chance.random() < 0.2:
                store.retract("P", item.id)
                file.write(f"-{item.id}\n".encode())


def start(folder: Path, notes: Path) -> int:
    """Fork a writer; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        teach_for_ever(folder, notes)
    finally:
        os._exit(1)


def end(writer: int) -> None:
    """Kill a writer, which must still have been writing."""
    os.kill(writer, signal.SIGKILL)
    _, status = os.waitpid(writer, 0)
    assert os.WIFSIGNALED(status), "a writer ended by itself"


def noted(notes: Path) -> tuple[set[str], set[str]]:
    """Identities that were acknowledged as taught, and as taken back."""
    lines = notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []
    return {line[1:] for line in lines if line[0] == "+"}, {line[1:] for line in lines if line[0] == "-"}


def check(store: ProfileStore, notes: Path) -> tuple[int, int]:
    """Everything acknowledged is there; how much was taught and taken back."""
    taught, retracted = noted(notes)
    profile = store.load("P")
    held = {item.id for item in profile.slices}
    # A lesson is taken back before that is noted, so some may be gone that are not noted as taken back.
    lost = taught - retracted - held - set(profile.removed)
    assert not lost, f"{len(lost)} acknowledged lessons are lost"
    assert not retracted & held, "something taken back has returned"
    return len(taught), len(retracted)


def main(folder: Path, kills: int, seed: int) -> None:
    """Kill and look."""
    store, notes, chance = ProfileStore(folder), folder / "notes.txt", random.Random(seed)
    store.create(new_profile("P", ModelReference(name="m", hash="h", components=M)))
    writers = [start(folder, notes), start(folder, notes)]
    try:
        for _ in range(kills):
            time.sleep(chance.uniform(0, 0.1))
            victim = chance.randrange(2)
            end(writers.pop(victim))
            check(store, notes)
            writers.append(start(folder, notes))
        while len(noted(notes)[0]) < 50 or not noted(notes)[1]:  # so busy that hardly any was written
            time.sleep(0.05)
    finally:
        for writer in writers:
            end(writer)
    lessons, retracted = check(store, notes)
    print(f"{kills} kills, {lessons} lessons, {retracted} taken back")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
