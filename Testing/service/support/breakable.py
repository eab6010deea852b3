"""`spasegment`, of whose replicas one breaks its model when the file named by BREAK is there, and takes it.

Ray pickles what this script itself defines, so that a replica needs no path to it.
"""

from __future__ import annotations

import os
import threading
import time

from SPASegmentLib.cli import command
from SPASegmentLib.service.server import cluster

FILE = os.environ["BREAK"]
HealthyReplica = cluster.Replica


class Replica(HealthyReplica):
    def __init__(self, options) -> None:
        super().__init__(options)
        threading.Thread(target=self.break_when_told, args=(FILE,), daemon=True).start()

    def break_when_told(self, file: str) -> None:
        import torch

        while True:
            time.sleep(0.2)
            try:
                os.rename(file, f"{file}.{os.getpid()}")  # noqa: PTH104
            except OSError:
                continue
            for engine in self._core.engines.values():
                with torch.no_grad():
                    for weights in engine.network.parameters():
                        weights.fill_(float("nan"))
                engine._embeddings.clear()
                engine._regions.clear()


cluster.Replica = Replica

if __name__ == "__main__":
    command()
