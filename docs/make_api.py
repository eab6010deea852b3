"""Writes docs/api.md from the docstrings of what a program that uses SPASegment meets.

python docs/make_api.py
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "api.md"
PUBLIC = {
    "predictor.py": ("SPAPredictor",),
    "inference/fill.py": ("WholeObject", "ObjectSlice"),
    "inference/messages.py": ("Proposal", "Candidate", "Description", "ModelInfo"),
    "imaging/types.py": ("Volume", "SliceImage", "PointPrompt", "IntensityWindow"),
    "imaging/files.py": ("read_volume",),
    "imaging/masks.py": ("write_mask",),
    "errors.py": (
        "SPASegmentError",
        "InputError",
        "SeedError",
        "StepError",
        "CheckpointError",
        "Cancelled",
    ),
}
START = """# The programming interface

Made from the docstrings by `python docs/make_api.py`; change those, not this page. What is not listed here
may change without notice. `SPAPredictor` is imported from `SPASegmentLib`, everything else from the module
it is listed under.
"""
INHERITED = {"SPAPredictor": ("inference/image_input.py", "ImageInput")}
"""Classes whose public methods stand in another class, too: its file and name."""
Function = ast.FunctionDef


def page() -> str:
    """The whole page."""
    parts = [START]
    for file, names in PUBLIC.items():
        source, found = read(file)
        parts.append(f"## SPASegmentLib.{file.removesuffix('.py').replace('/', '.')}\n")
        for name in names:
            node = found[name]
            parts += in_words(node, source) if isinstance(node, ast.ClassDef) else entry(node, "###")
    return "\n".join(parts).rstrip() + "\n"


def read(file: str) -> tuple[str, dict[str, ast.ClassDef | Function]]:
    """A file of the library, and its classes and functions."""
    source = (ROOT / "SPASegmentLib" / file).read_text(encoding="utf-8")
    return source, {n.name: n for n in ast.parse(source).body if isinstance(n, (ast.ClassDef, Function))}


def in_words(node: ast.ClassDef, source: str) -> list[str]:
    """A class, its fields, and its public methods and properties."""
    file, base = INHERITED.get(node.name, ("", ""))
    bases = ", ".join(name for name in map(ast.unparse, node.bases) if name != base)
    parts = [f"### {node.name}{f'({bases})' if bases else ''}\n", prose(node)]
    fields = [ast.get_source_segment(source, n) or "" for n in node.body if isinstance(n, ast.AnnAssign)]
    if fields:
        parts.append("```python\n" + "\n".join(fields) + "\n```\n")
    own = public(node)
    made = [member for member in own if member.name == "__init__" or is_classmethod(member)]
    parent = read(file)[1][base] if base else None
    above = public(parent) if isinstance(parent, ast.ClassDef) else []
    inherited = [member for member in above if member.name != "__init__"]
    for member in [*made, *inherited, *(member for member in own if member not in made)]:
        parts += entry(member, "####", node.name)
    return parts


def public(node: ast.ClassDef) -> list[Function]:
    """The methods and properties of a class that a program may call."""
    methods = [member for member in node.body if isinstance(member, Function)]
    return [one for one in methods if one.name == "__init__" or not one.name.startswith("_")]


def is_classmethod(node: Function) -> bool:
    """Whether a method makes an instance."""
    return any(ast.unparse(decorator) == "classmethod" for decorator in node.decorator_list)


def entry(node: Function, heading: str, owner: str = "") -> list[str]:
    """A function, method or property, with its signature."""
    kinds = {ast.unparse(decorator) for decorator in node.decorator_list}
    returned = ast.unparse(node.returns) if node.returns else "None"
    if kinds & {"property", "cached_property"}:
        return [f"{heading} {node.name}\n", f"Property: `{returned}`\n", prose(node)]
    arguments = node.args
    if owner and "staticmethod" not in kinds:
        arguments.args = arguments.args[1:]
    name = owner if node.name == "__init__" else node.name
    called = f"{owner}.{name}" if "classmethod" in kinds else name
    signature = f"{called}({ast.unparse(arguments)})" + (f" -> {returned}" if name != owner else "")
    title = "Constructor" if name == owner else name
    return [f"{heading} {title}\n", f"```python\n{signature}\n```\n", prose(node)]


def prose(node: ast.ClassDef | Function) -> str:
    """A docstring as Markdown: its sections in bold, their entries as lists."""
    text = ast.get_docstring(node) or ""
    text = re.sub(r"\n {8}(?=\S)", " ", text)
    text = re.sub(r"^(Args|Returns|Raises):\n", r"**\1**\n\n", text, flags=re.MULTILINE)
    text = re.sub(r"^ {4}(\w+): ", r"- `\1`: ", text, flags=re.MULTILINE)
    return re.sub(r"^ {4}", "", text, flags=re.MULTILINE) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
