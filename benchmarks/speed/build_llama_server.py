"""Builds llama.cpp's server for this processor, from the sources of the installed Python package.

The package ``llama-cpp-python`` brings the library; its sources hold the server too. They are
fetched by pip in the installed version, built with CMake, and the program is put beside Python.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks.speed.harness import say

OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DBUILD_SHARED_LIBS=OFF",
    "-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_SERVER=ON", "-DLLAMA_BUILD_TOOLS=ON", "-DLLAMA_BUILD_COMMON=ON",
    "-DLLAMA_BUILD_APP=OFF", "-DLLAMA_BUILD_UI=OFF", "-DLLAMA_USE_PREBUILT_UI=OFF",
)  # fmt: skip
"""The server needs no network but its own; everything else is as the project builds it."""


def main() -> None:
    """Fetch, build, put in place."""
    flags = argparse.ArgumentParser(description=__doc__)
    beside = Path(sys.executable).with_name("llama-server")
    flags.add_argument("--output", type=Path, default=beside, help=f"({beside})")
    flags.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at one time")
    chosen = flags.parse_args()
    with tempfile.TemporaryDirectory(prefix="llama-server-") as name:
        place = Path(name)
        source = fetched(place)
        say(f"building {source.parent.name}: this takes many minutes")
        build = place / "build"
        run("cmake", "-S", source, "-B", build, *OPTIONS)
        run("cmake", "--build", build, "--target", "llama-server", "--parallel", chosen.jobs)
        shutil.copy2(build / "bin" / "llama-server", chosen.output)
    say(f"{chosen.output}")


def fetched(place: Path) -> Path:
    """llama.cpp's sources, of the installed version."""
    wanted = f"llama-cpp-python=={version('llama-cpp-python')}"
    run(
        sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:",
        "--dest", place, wanted,
    )  # fmt: skip
    (archive,) = place.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(place / "source", filter="data")
    (source,) = (place / "source").glob("*/vendor/llama.cpp")
    return source


def run(*words: object) -> None:
    """A command; its output is shown."""
    subprocess.run([str(word) for word in words], check=True)


if __name__ == "__main__":
    main()
