"""The package as it is installed here, as a wheel: what a Space carries while no index has it."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path

PACKAGE = "hf_repsim"
_WHEEL = "Wheel-Version: 1.0\nGenerator: hf_repsim\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same files are the same wheel, so nothing is pushed twice


def wheel_name() -> str:
    """The file name, which pip reads the version from."""
    return f"{PACKAGE}-{_installed().version}-py3-none-any.whl"


def requirements(extra: str) -> list[str]:
    """What pip has to install for the package and one of its extras, a requirement each."""
    found = []
    for line in _installed().requires or ():
        requirement, _, marker = line.partition(";")
        if "extra" not in marker or f'extra == "{extra}"' in marker:
            found.append(requirement.strip())
    return found


def write_wheel(folder: Path) -> Path:
    """Write the wheel into a folder; it is a function of the files of the package alone.

    Raises:
        ImportError: the package is on the path without being installed.
    """
    installed, root = _installed(), Path(str(files(PACKAGE)))
    held = {
        f"{PACKAGE}/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not _is_made_here(path.relative_to(root))
    }
    info = f"{PACKAGE}-{installed.version}.dist-info"
    for name in ("METADATA", "entry_points.txt"):
        held[f"{info}/{name}"] = (installed.read_text(name) or "").encode()
    held[f"{info}/WHEEL"] = _WHEEL.encode()
    record = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in held.items()]
    held[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    wheel = folder / wheel_name()
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in held.items():
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return wheel


def _installed() -> Distribution:
    try:
        return distribution(PACKAGE)
    except PackageNotFoundError as error:
        raise ImportError(
            f"{PACKAGE} is on the path, but not installed, so what it needs is not known; "
            "install it: pip install -e CHECKOUT"
        ) from error


def _is_made_here(path: Path) -> bool:
    """Whether Python or an editor left the file there."""
    return any(part == "__pycache__" or part.startswith(".") for part in path.parts)


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
