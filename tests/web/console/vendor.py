"""Takes the scripts of others from the npm registry: `python -m tests.web.console.vendor`.

The table in the README of the folder says which files of which packages, with the integrity of the packages. A package
of another integrity is refused, and nothing is written.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from base64 import b64encode
from hashlib import sha256, sha512
from pathlib import Path
from tempfile import TemporaryDirectory

import deltamark.interfaces.http.console

FOLDER = Path(deltamark.interfaces.http.console.__file__).parent / "static" / "vendor"
_SCRIPT = re.compile(r"\| `(\S+)` \| `(\S+)` (\S+) \| `(\S+)` \| \S+, `(\S+)` \| `(sha512-\S+)` \|")
_DIGEST = re.compile(r"\| `(\S+)` \| `[0-9a-f]{64}` \|\n")


def main() -> None:
    """Writes the files and their digests."""
    readme = FOLDER / "README.md"
    text = readme.read_text("utf-8")
    content: dict[str, bytes] = {}
    with TemporaryDirectory() as scratch:
        for file, package, version, path, licence, integrity in _SCRIPT.findall(text):
            with tarfile.open(_packed(f"{package}@{version}", integrity, Path(scratch))) as archive:
                content[file] = _member(archive, path)
                content[licence] = _member(archive, "LICENSE")
    for name, data in content.items():
        (FOLDER / name).write_bytes(data)
    rows = "".join(f"| `{name}` | `{sha256(data).hexdigest()}` |\n" for name, data in content.items())
    readme.write_text(_DIGEST.sub("", text) + rows, "utf-8")


def _packed(package: str, integrity: str, folder: Path) -> Path:
    packing = subprocess.run(
        ["npm", "pack", "--silent", package],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    archive = folder / packing.stdout.split()[-1]
    found = f"sha512-{b64encode(sha512(archive.read_bytes()).digest()).decode()}"
    if found != integrity:
        sys.exit(f"{package} has the integrity {found}, and {FOLDER / 'README.md'} says {integrity}.")
    return archive


def _member(archive: tarfile.TarFile, path: str) -> bytes:
    member = archive.extractfile(f"package/{path}")
    assert member is not None
    return member.read()


if __name__ == "__main__":
    main()
