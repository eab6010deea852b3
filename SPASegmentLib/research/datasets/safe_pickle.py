"""Reads plain data and numpy arrays from a pickle without ever running what the pickle names."""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from SPASegmentLib.errors import DatasetError

_PLAIN: dict[str, type] = {"list": list, "dict": dict, "str": str, "int": int, "float": float}
_NUMERIC = re.compile(r"(b1|[iu][1248]|f[248])$")


class PickledArray:
    """An array as the pickle describes it; numpy itself sees nothing but checked numbers and bytes."""

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state: np.ndarray | None = None

    def __setstate__(self, state: object) -> None:
        """Take numpy's (version, shape, dtype, fortran order, bytes)."""
        if not (isinstance(state, tuple) and len(state) == 5):
            raise pickle.UnpicklingError("an array of unknown form")
        _, shape, dtype, fortran, content = state
        self._state = _array(content, dtype, shape, "F" if fortran else "C")

    def array(self) -> np.ndarray:
        """The array. Raises DatasetError where the pickle named one without content."""
        if self._state is None:
            raise DatasetError("The pickle holds an array without content; fetch the file again.")
        return self._state


class _Dtype:
    """A numeric dtype; its byte order comes with the state."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) >= 2 and state[1] in ("<", ">", "|", "=")):
            raise pickle.UnpicklingError("a dtype of unknown form")
        self.order = "<" if state[1] == "=" else state[1]


class _Maker:
    """Stands for a name in the pickle. It has no state the pickle could change."""

    __slots__ = ("_make",)
    _make: Callable[..., Any]

    def __init__(self, make: Callable[..., Any]) -> None:
        object.__setattr__(self, "_make", make)

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setattr__(self, name: str, value: object) -> None:
        raise pickle.UnpicklingError("it tries to change a function")

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it tries to change a function")


def _make_dtype(code: Any, *_: Any) -> _Dtype:
    text = code.decode("ascii", "replace") if isinstance(code, bytes) else code
    if not (isinstance(text, str) and _NUMERIC.fullmatch(text)):
        raise pickle.UnpicklingError("an array that does not hold numbers")
    return _Dtype(text)


def _array(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    content = content.encode("latin-1") if isinstance(content, str) else content
    if not (
        isinstance(dtype, _Dtype) and isinstance(content, (bytes, bytearray)) and isinstance(shape, tuple)
    ):
        raise pickle.UnpicklingError("an array of unknown form")
    kind = np.dtype(dtype.order + dtype.code)
    sizes_fit = all(isinstance(size, int) and size >= 0 for size in shape)
    if not sizes_fit or math.prod(shape) * kind.itemsize != len(content) or order not in ("C", "F"):
        raise pickle.UnpicklingError("an array whose size does not fit its content")
    return np.frombuffer(content, kind).reshape(shape, order=order)


def _make_scalar(dtype: Any, content: Any) -> Any:
    return _array(content, dtype, (), "C")[()]


def _make_from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
    made = PickledArray()
    made.__setstate__((1, shape, dtype, order == "F", content))
    return made


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """How protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("bytes of unknown form")
    return text.encode("latin-1")


def _no_bytes(*arguments: Any) -> bytes:
    """How protocol 2 writes the content of an empty array."""
    if arguments:
        raise pickle.UnpicklingError("bytes of unknown form")
    return b""


_MAKERS = {
    ("numpy", "ndarray"): _Maker(PickledArray),
    ("numpy", "dtype"): _Maker(_make_dtype),
    ("_codecs", "encode"): _Maker(_encode),
    ("builtins", "bytes"): _Maker(_no_bytes),
    ("__builtin__", "bytes"): _Maker(_no_bytes),
    **{
        (f"numpy.{core}.{module}", name): _Maker(make)
        for core in ("core", "_core")
        for module, name, make in (
            ("multiarray", "_reconstruct", lambda *_: PickledArray()),
            ("multiarray", "scalar", _make_scalar),
            ("numeric", "_frombuffer", _make_from_buffer),
        )
    },
}


class _PlainUnpickler(pickle.Unpickler):
    """Knows the names in `_MAKERS` and `_PLAIN`, and imports nothing."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name. Raises UnpicklingError for all others."""
        if module in ("builtins", "__builtin__") and name in _PLAIN:
            return _PLAIN[name]
        maker = _MAKERS.get((module, name))
        if maker is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return maker

    def persistent_load(self, pid: Any) -> Any:
        """Never: plain data has none."""
        raise pickle.UnpicklingError("it refers to something outside the file")


def load_plain_pickle(stream: IO[bytes], name: str) -> Any:
    """Plain data from a pickle; arrays come as PickledArray.

    Raises DatasetError, without having run anything, where the pickle names more than lists, dictionaries,
    text, numbers and numeric numpy arrays, or is damaged.
    """
    try:
        return _PlainUnpickler(stream, encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise DatasetError(
            f"The pickle '{name}' was refused because it holds more than plain data ({error})."
        ) from error
    except Exception as error:  # a damaged pickle fails in whatever way its bytes happen to lead to
        raise DatasetError(f"The pickle '{name}' is damaged; fetch it again.") from error
