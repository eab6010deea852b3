"""The engine, loaded on first need on the worker's thread: importing torch alone takes a second."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from SPASegmentLib.inference.messages import CancelToken, Engine
    from SPASegmentLib.service.choice import ServerChoice


class EngineHolder:
    """One model on one device. `get` is for the worker's thread, `engine` for any."""

    def __init__(
        self,
        model: str | Path,
        device: str,
        engine: Engine | None = None,
        server: ServerChoice | None = None,
    ) -> None:
        """engine: one that is ready, or None to load `model` ("compact" or a checkpoint's path).

        server: what computes with that model instead of this computer, or None.
        """
        self.asked, self.device_asked, self._server = model, device, server
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

    def get(self, cancel: CancelToken | None = None) -> Engine:
        """The engine; loads it the first time.

        Raises CheckpointError where that cannot be done, ServerError where the server refuses, and Cancelled
        when `cancel` is set while a server is waited for.
        """
        if self._engine is None:
            self._engine = self._load() if self._server is None else self._reach(self._server, cancel)
        return self._engine

    def _load(self) -> Engine:
        from SPASegmentLib.inference.local import load_engine

        return load_engine(self.asked, self.device_asked)

    def _reach(self, server: ServerChoice, cancel: CancelToken | None) -> Engine:
        from SPASegmentLib.service.opening import open_engine

        return open_engine(server, self.asked, self._load, cancel)
