"""The folder of the bundled policies: in the checkout, or inside the wheel."""

from __future__ import annotations

from pathlib import Path

from autoscaler.errors import Diagnostic, PolicyError

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "data" / "policies", _PACKAGE.parent / "policies")


def library_folder() -> Path:
    """The folder of the bundled policies."""
    return next(folder for folder in _FOLDERS if folder.is_dir())


def library_names() -> tuple[str, ...]:
    """The names of the bundled policies, sorted: ``("batch", "batch-size", "chat", …)``."""
    return tuple(sorted(path.stem for path in library_folder().glob("*.yaml")))


def library_path(name: str) -> Path:
    """The file of a bundled policy. Raises ``KeyError`` with the names there are."""
    if name not in library_names():
        raise KeyError(f"{name} is not a bundled policy: there are {', '.join(library_names())}")
    return library_folder() / f"{name}.yaml"


def find_policy(name_or_file: str) -> Path:
    """A file that exists, else a bundled policy of this name.

    Raises ``PolicyError``: it is neither.
    """
    path = Path(name_or_file)
    names = library_names()
    if name_or_file in names and not path.is_file():
        return library_path(name_or_file)
    if not path.exists():
        message = f"no such file, and no policy of this name in the library (there are: {', '.join(names)})"
        raise PolicyError([Diagnostic(name_or_file, None, "", message)])
    return path
