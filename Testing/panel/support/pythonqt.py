"""PythonQt's rules on top of PySide6, so that a panel that runs here also runs in Slicer.

What PythonQt does differently and PySide6 would let pass: Qt properties are read and written without a call,
signals are connected by their C++ signature, enums are unqualified, unknown names and new attributes are
refused, what is gone in Qt 6 does not exist, a slot is called with no more arguments than it takes, and an
exception in a slot is only printed. What PythonQt would only print is kept in `problems`, and the test fails.
"""

from __future__ import annotations

import ctypes
import enum
import inspect
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

problems: list[str] = []
"""What PythonQt would print and forget."""

GONE = {"Signal", "Slot", "Property", "QRegExp", "QDesktopWidget", "QTime", "QRegExpValidator"}
"""Not in PythonQt, or not in both Qt 5 and Qt 6."""
CUSTOM: dict[str, type] = {}
"""Widgets of Slicer and CTK by class name: for the loader, and for `slicer.` and `ctk.`."""


def wrap(value: Any) -> Any:
    """A PySide value as PythonQt shows it."""
    if isinstance(value, enum.Enum) or value is None:
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(wrap(one) for one in value)
    if isinstance(value, QtCore.QByteArray):
        return value
    if isinstance(value, QtCore.QObject) or type(value).__module__.startswith("PySide6"):
        return Instance(value)
    return value


def unwrap(value: Any) -> Any:
    """What PySide gets for it."""
    if isinstance(value, Instance):
        return object.__getattribute__(value, "_object")
    if isinstance(value, QtClass):
        return value.cls
    if isinstance(value, (list, tuple)):
        return type(value)(unwrap(one) for one in value)
    return value


def slot_of(function: Callable) -> Callable[..., None]:
    """A slot as PythonQt calls it: surplus arguments dropped, exceptions printed."""
    code = getattr(function, "__code__", None)
    most = None
    if code is not None and not code.co_flags & inspect.CO_VARARGS:
        most = code.co_argcount - (1 if inspect.ismethod(function) else 0)

    def called(*args: Any) -> None:
        try:
            function(*(wrap(a) for a in (args if most is None else args[:most])))
        except Exception:
            problems.append("exception in a slot:\n" + traceback.format_exc())

    return called


class Instance:
    """A Qt object or value."""

    __slots__ = ("__weakref__", "_object")

    def __init__(self, value: Any) -> None:
        object.__setattr__(self, "_object", value)

    def __repr__(self) -> str:
        return f"<{type(unwrap(self)).__name__}>"

    def __eq__(self, other: object) -> bool:
        mine, theirs = unwrap(self), unwrap(other)
        return mine is theirs if isinstance(mine, QtCore.QObject) else bool(mine == theirs)

    def __hash__(self) -> int:
        return hash(unwrap(self))

    def __bool__(self) -> bool:
        return True

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            return object.__getattribute__(self, name)
        return _read(object.__getattribute__(self, "_object"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        target = object.__getattribute__(self, "_object")
        name = "objectName" if name == "name" else name
        if not isinstance(target, QtCore.QObject) or target.metaObject().indexOfProperty(name) < 0:
            raise AttributeError(
                f"{type(target).__name__} has no property {name}; PythonQt refuses new attributes"
            )
        prop = target.metaObject().property(target.metaObject().indexOfProperty(name))
        if not prop.isWritable():
            raise AttributeError(f"{type(target).__name__}.{name} cannot be written")
        if value is None:
            raise ValueError(f"None is no value for {type(target).__name__}.{name}")
        if prop.typeName() == "QString" and not isinstance(value, str):
            raise ValueError(f"{type(target).__name__}.{name} takes text, not {value!r}")
        if not target.setProperty(name, unwrap(value)):
            raise ValueError(f"{type(target).__name__}.{name} does not take {value!r}")


def _read(target: Any, name: str) -> Any:
    if isinstance(target, QtCore.QObject):
        special = _SPECIAL.get(name)
        if special is not None:
            return lambda *args: special(target, *args)
        name = "objectName" if name == "name" else name
        if target.metaObject().indexOfProperty(name) >= 0 or name.encode() in target.dynamicPropertyNames():
            return wrap(target.property(name))
    if name == "exec_":
        name = "exec"
    elif name == "exec":
        raise AttributeError("PythonQt calls it exec_")
    found = getattr(type(target), name, None)
    if found is None or name.startswith("_"):
        raise AttributeError(f"{type(target).__name__} has no attribute named '{name}'")
    if isinstance(found, QtCore.Signal):
        raise AttributeError(f"connect {type(target).__name__}.{name} by its signature")
    if isinstance(found, (enum.EnumMeta, type)):
        raise AttributeError(f"enums are unqualified in PythonQt: {name}")
    return _method(getattr(target, name), f"{type(target).__name__}.{name}")


def _method(function: Callable, label: str) -> Callable:
    def call(*args: Any) -> Any:
        try:
            return wrap(function(*(unwrap(a) for a in args)))
        except TypeError as error:
            raise ValueError(f"could not find a matching overload for {label}: {error}") from error

    return call


# What PythonQt gives every QObject in its own way.


def _signal(target: QtCore.QObject, signature: str) -> str | None:
    custom = getattr(type(target), "SIGNALS", {})
    for cls in type(target).__mro__:
        custom = {**getattr(cls, "SIGNALS", {}), **custom}
    if signature in custom:
        return custom[signature]
    normal = bytes(QtCore.QMetaObject.normalizedSignature(signature).data()).decode()
    return normal if target.metaObject().indexOfSignal(normal) >= 0 else None


def connect(target: QtCore.QObject, signature: str, function: Callable) -> bool:
    """True, or False for a signal there is not, which also fails the test."""
    if not callable(function):
        raise ValueError(f"{function!r} cannot be called")
    signal = _signal(target, signature)
    if signal is None:
        problems.append(f"signal '{signature}' does not exist on {type(target).__name__}")
        return False
    slot = slot_of(function if not isinstance(function, Instance) else unwrap(function))
    if "(" in signal:
        connection = QtCore.QObject.connect(target, QtCore.SIGNAL(signal), slot)
    else:
        connection = getattr(target, signal).connect(slot)
    _connections.append((target, signature, function, slot, signal, connection))
    return True


def disconnect(target: QtCore.QObject, signature: str, function: Callable) -> bool:
    """Takes one connection back."""
    for n, (owner, name, known, slot, signal, _) in enumerate(_connections):
        if owner is target and name == signature and known == function:
            del _connections[n]
            if "(" in signal:
                QtCore.QObject.disconnect(target, QtCore.SIGNAL(signal), slot)
            else:
                getattr(target, signal).disconnect(slot)
            return True
    return False


_connections: list[tuple] = []


def _find_children(target: QtCore.QObject, cls: Any = None) -> list:
    wanted = unwrap(cls) if cls is not None else QtCore.QObject
    return [wrap(one) for one in target.findChildren(wanted)]


def _children(target: QtCore.QObject) -> list:
    return [wrap(one) for one in target.children()]


def _property(target: QtCore.QObject, name: str) -> Any:
    return wrap(target.property(name))


def _set_property(target: QtCore.QObject, name: str, value: Any) -> bool:
    return target.setProperty(name, unwrap(value))


def _inherits(target: QtCore.QObject, name: str) -> bool:
    return target.inherits(name) or any(cls.__name__ == name for cls in type(target).__mro__)


_SPECIAL: dict[str, Callable] = {
    "connect": connect,
    "disconnect": disconnect,
    "findChildren": _find_children,
    "children": _children,
    "property": _property,
    "setProperty": _set_property,
    "inherits": _inherits,
    "className": lambda target: type(target).__name__,
    "isWidgetType": lambda target: target.isWidgetType(),
}


class QtClass:
    """A class: makes objects, holds unqualified enums and static functions."""

    def __init__(self, cls: type) -> None:
        self.cls = cls

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(unwrap(instance), self.cls)

    def __call__(self, *args: Any) -> Any:
        try:
            return wrap(self.cls(*(unwrap(a) for a in args)))
        except TypeError as error:
            raise ValueError(
                f"could not find a matching constructor of {self.cls.__name__}: {error}"
            ) from error

    def __getattr__(self, name: str) -> Any:
        for cls in self.cls.__mro__:
            for value in vars(cls).values():
                if isinstance(value, enum.EnumMeta) and name in value.__members__:
                    return value[name]
        special = _STATIC.get((self.cls.__name__, name))
        if special is not None:
            return special
        found = getattr(self.cls, name, None)
        if found is None or name.startswith("_") or isinstance(found, (enum.EnumMeta, type)):
            raise AttributeError(f"{self.cls.__name__} has no attribute named '{name}'")
        return _method(found, f"{self.cls.__name__}.{name}")


def _single_shot(ms: int, function: Callable) -> None:
    QtCore.QTimer.singleShot(ms, slot_of(function))


_STATIC: dict[tuple[str, str], Callable] = {
    ("QTimer", "singleShot"): _single_shot,
    ("QFileDialog", "getOpenFileName"): lambda *a: QtWidgets.QFileDialog.getOpenFileName(*map(unwrap, a))[0],
    ("QFileDialog", "getSaveFileName"): lambda *a: QtWidgets.QFileDialog.getSaveFileName(*map(unwrap, a))[0],
}


class _Loader(QtUiTools.QUiLoader):
    """Loads .ui files with the widgets of Slicer and CTK."""

    def __init__(self) -> None:
        super().__init__()
        for cls in CUSTOM.values():
            self.registerCustomWidget(cls)


class QtModule(types.ModuleType):
    """`qt` (or `ctk`): classes by name."""

    def __init__(self, name: str, modules: tuple, extra: dict[str, type]) -> None:
        super().__init__(name)
        self.__dict__["_modules"], self.__dict__["_extra"], self.__dict__["_classes"] = modules, extra, {}

    def __getattr__(self, name: str) -> Any:
        if name in GONE or name.startswith("_"):
            raise AttributeError(
                f"module '{self.__name__}' has no attribute '{name}' in PythonQt for Qt 5 and 6"
            )
        if name not in self._classes:
            found = self._extra.get(name)
            for module in self._modules:
                found = found or getattr(module, name, None)
            if not isinstance(found, type):
                raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
            self._classes[name] = QtClass(found)
        return self._classes[name]


def make_modules() -> dict[str, QtModule]:
    """`qt` and `ctk`, ready for sys.modules."""
    ctk = {name: cls for name, cls in CUSTOM.items() if name.startswith("ctk")}
    return {
        "qt": QtModule("qt", (QtCore, QtGui, QtWidgets), {"QUiLoader": _Loader}),
        "ctk": QtModule("ctk", (), ctk),
    }


class Application(QtWidgets.QApplication):
    """With the signal Slicer's own has."""

    startupCompleted = QtCore.Signal()


def application() -> Application:
    """The one QApplication, off screen."""
    found = QtWidgets.QApplication.instance()
    if isinstance(found, Application):
        return found
    _keep_truth()
    return Application(sys.argv[:1])


def _keep_truth() -> None:
    """Give True and False references to spare, where Python counts them (before 3.12).

    PySide6 6.12 hands out False without a reference of its own: after some ten thousand calls nobody would
    hold it any more, and Python would end with "deallocating True or False".
    """
    if sys.version_info < (3, 12) and sys.implementation.name == "cpython":
        for value in (True, False):
            ctypes.c_ssize_t.from_address(id(value)).value += 2**40
