"""The engine, loaded on first need on the worker's thread: importing torch alone takes a second."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from SPASegmentLib.inference.messages import Engine


class EngineHolder:
    """One model on one device. `get` is for the worker's thread, `engine` for any."""

    def __init__(self, model: str | Path, device: str, engine: Engine | None = None) -> None:
        """engine: one that is ready, or None to load `model` ("compact" or a checkpoint's path)."""
        self.asked, self.device_asked = model, device
        self._engine = engine

    @property
    def engine(self) -> Engine | None:
        """The engine, once it is loaded."""
        return self._engine

    @property
    def model(self) -> str:
        """The model's name as the user knows it."""
        return self._engine.model.name if self._engine is not None else Path(str(self.asked)).stem

    @property
    def device(self) -> str:
        """Where it computes: "cpu", "cuda", or what was asked for while it is not loaded."""
        device: Any = getattr(self._engine, "device", None)
        return str(device) if device is not None else self.device_asked

    def get(self) -> Engine:
        """The engine; loads it the first time. Raises CheckpointError where that cannot be done."""
        if self._engine is None:
            from SPASegmentLib.inference.local import load_engine

            self._engine = load_engine(self.asked, self.device_asked)
        return self._engine
