"""Writes the text that the atlas is trained on: the sources of Python's standard library, as found on any machine with Python 3.11.

    python3.11 tools/atlas_text.py OUTPUT.txt

Licence of the text: Python Software Foundation License 2. The text is not part of this repository; the curves are.
Prints size and SHA-256, which fixtures/atlas/README.md states for the version used.
"""

import hashlib
import sys
import sysconfig
from pathlib import Path

LEFT_OUT = {"site-packages", "test", "tests", "idle_test", "__pycache__", "lib2to3", "encodings", "pydoc_data"}


def main():
    root = Path(sysconfig.get_path("stdlib"))
    text = bytearray()
    files = 0
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).parts
        if LEFT_OUT & set(parts) or parts[0].startswith(("config-", "lib-dynload", "_sysconfigdata")):
            continue
        text += file.read_bytes()
        files += 1
    Path(sys.argv[1]).write_bytes(text)
    digest = hashlib.sha256(text).hexdigest()
    print(f"Python {sys.version.split()[0]}: {files} files, {len(text)} bytes, sha256 {digest}")


main()
