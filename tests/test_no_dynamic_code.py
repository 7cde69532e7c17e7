"""H3: no text becomes code."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = [path for room in ("services", "cli") for path in sorted((ROOT / room).rglob("*.py"))]
NAMES = {"eval", "exec", "compile", "__import__"}
MODULES = {"pickle", "marshal", "shelve", "yaml", "dill", "cloudpickle"}
METHODS = {"from_string"}
"""Of Jinja: a template out of data."""


def test_h3_no_code_is_made_of_data() -> None:
    assert {path: found for path in SOURCES if (found := dynamic(path))} == {}


def dynamic(path: Path) -> list[str]:
    """What the file calls or imports that makes code."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in NAMES:
                found.append(name)
            case ast.Call(func=ast.Attribute(attr=name)) if name in METHODS:
                found.append(name)
            case ast.Import(names=names):
                found += [one.name for one in names if one.name.split(".")[0] in MODULES]
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in MODULES:
                found.append(module)
    return found
