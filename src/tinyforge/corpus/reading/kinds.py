"""What kind a file is: by its name, and by its first bytes where the name does not tell."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

PACKINGS = {".gz": "gzip", ".xz": "xz", ".zst": "zstd", ".bz2": "bzip2"}
"""Suffixes of one packed file."""

PACKED_TARS = {
    ".tgz": ".tar.gz", ".txz": ".tar.xz", ".tbz": ".tar.bz2", ".tbz2": ".tar.bz2",
    ".tzst": ".tar.zst",
}  # fmt: skip

SUFFIXES = {
    ".txt": "text", ".text": "text", ".log": "text", ".tex": "text", ".org": "text",
    ".adoc": "text", ".asc": "text", ".me": "text", ".srt": "text", ".vtt": "text",
    ".md": "markdown", ".markdown": "markdown", ".mkd": "markdown", ".mdx": "markdown",
    ".rst": "rst", ".rest": "rst",
    ".html": "html", ".htm": "html", ".xhtml": "html", ".shtml": "html",
    ".warc": "warc", ".wet": "warc", ".wat": "warc",
    ".jsonl": "json", ".ndjson": "json", ".json": "json",
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv",
    ".parquet": "parquet", ".pq": "parquet",
    ".pdf": "pdf",
    ".docx": "docx",
    ".sqlite": "sqlite", ".sqlite3": "sqlite", ".db": "sqlite", ".db3": "sqlite",
    ".zip": "zip", ".jar": "zip", ".whl": "zip", ".egg": "zip",
    ".tar": "tar",
}  # fmt: skip

CODE = frozenset((
    ".py", ".pyi", ".pyx", ".pxd", ".ipy", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".vue",
    ".svelte", ".java", ".kt", ".kts", ".scala", ".groovy", ".gradle", ".clj", ".cljs", ".c",
    ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx", ".inl", ".cu", ".cuh", ".m", ".mm",
    ".cs", ".fs", ".fsi", ".fsx", ".vb", ".go", ".rs", ".swift", ".zig", ".nim", ".d", ".v",
    ".sv", ".vhd", ".vhdl", ".rb", ".erb", ".php", ".pl", ".pm", ".lua", ".r", ".jl", ".hs",
    ".lhs", ".ml", ".mli", ".elm", ".ex", ".exs", ".erl", ".hrl", ".lisp", ".el", ".scm", ".rkt",
    ".dart", ".f", ".for", ".f90", ".f95", ".f03", ".pas", ".ada", ".adb", ".ads", ".cob", ".asm",
    ".s", ".sh", ".bash", ".zsh", ".fish", ".ps1", ".psm1", ".bat", ".cmd", ".sql", ".css",
    ".scss", ".sass", ".less", ".cmake", ".mk", ".proto", ".thrift", ".graphql", ".tf", ".hcl",
    ".nix", ".bzl", ".dockerfile", ".toml", ".yaml", ".yml", ".ini", ".cfg", ".ipynb", ".sol",
    ".coffee", ".awk", ".tcl", ".lock", ".qml", ".glsl", ".hlsl", ".vert", ".frag", ".xsl",
))  # fmt: skip
"""Suffixes of source code."""

CODE_NAMES = frozenset((
    "makefile", "gnumakefile", "dockerfile", "rakefile", "gemfile", "cmakelists.txt", "justfile",
    "jenkinsfile", "vagrantfile", "procfile", "build.bazel",
))  # fmt: skip

NOT_TEXT = frozenset((
    ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ico", ".svgz", ".psd",
    ".heic", ".avif", ".mp3", ".wav", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".mp4", ".m4v",
    ".mkv", ".avi", ".mov", ".webm", ".wmv", ".exe", ".dll", ".so", ".dylib", ".a", ".o", ".obj",
    ".lib", ".pyc", ".pyo", ".pyd", ".class", ".wasm", ".bin", ".iso", ".dmg", ".deb",
    ".rpm", ".msi", ".apk", ".ttf", ".otf", ".woff", ".woff2", ".eot", ".npy", ".npz", ".pt",
    ".pth", ".ckpt", ".safetensors", ".onnx", ".gguf", ".h5", ".hdf5", ".pkl", ".pickle",
    ".joblib", ".docm", ".dotx", ".xls", ".xlsx", ".ppt", ".pptx", ".odt", ".ods", ".odp", ".doc",
    ".epub", ".mobi",
    ".azw3", ".djvu", ".7z", ".rar", ".cab", ".lz4", ".lzma", ".z", ".arrow", ".feather", ".orc",
    ".avro", ".pack", ".blend", ".glb", ".stl", ".swf", ".jks", ".p12", ".pfx", ".gpg",
))  # fmt: skip
"""Suffixes of files that are no text, or of formats that are not read."""

_MAGIC = (
    (b"%PDF", "pdf"),
    (b"PAR1", "parquet"),
    (b"SQLite format 3\0", "sqlite"),
    (b"WARC/", "warc"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\xd0\xcf\x11\xe0", "not text"),
    (b"\x89PNG", "not text"),
    (b"\xff\xd8\xff", "not text"),
    (b"GIF8", "not text"),
    (b"7z\xbc\xaf", "not text"),
    (b"Rar!", "not text"),
    (b"\x7fELF", "not text"),
    (b"\x80\x04\x95", "not text"),
)
_PACKED_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
)
_HTML = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.I)
_JSON_LINES = re.compile(rb"\s*\{\s*\"[^\"\n]{0,200}\"\s*:")


def kind_of_name(name: str) -> str:
    """The kind that a file's name tells, packings left aside; empty where it tells none.

    ``not text`` is a kind too: images, sound, programs and office formats that are not read.
    """
    path = PurePosixPath(unpacked_name(name))
    suffix = path.suffix.lower()
    if path.name.lower() in CODE_NAMES:
        return "code"
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    if suffix in CODE:
        return "code"
    return "not text" if suffix in NOT_TEXT else ""


def unpacked_name(name: str) -> str:
    """A file's name without the suffixes of packings: ``a.tgz`` and ``a.tar.xz`` are ``a.tar``."""
    while (inner := without_packing(name)) != name:
        name = inner
    return name


def without_packing(name: str) -> str:
    """A file's name without the outermost packing's suffix."""
    folder, slash, last = name.rpartition("/")
    lower = last.lower()
    for short, full in PACKED_TARS.items():
        if lower.endswith(short):
            last, lower = last[: -len(short)] + full, lower[: -len(short)] + full
    for suffix in PACKINGS:
        if lower.endswith(suffix) and len(last) > len(suffix):
            last = last[: -len(suffix)]
            break
    return folder + slash + last


def packing_of(head: bytes) -> str:
    """The packing that a file's first bytes show, empty where they show none."""
    for magic, packing in _PACKED_MAGIC:
        if head.startswith(magic):
            return packing
    return ""


def kind_of(name: str, head: bytes) -> str:
    """The kind by name, and by the first bytes where the name tells none or is wrong.

    A name that says text is not believed where the bytes are those of another format.
    """
    kind = kind_of_name(name)
    if kind in ("", "text", "html", "sqlite", "not text"):
        for magic, found in _MAGIC:
            if head.startswith(magic):
                # An office document is a ZIP file too; there the name is believed.
                return kind if kind == "not text" and found == "zip" else found
    if kind == "sqlite":
        return "not text"
    if kind:
        return kind
    if head[257:262] == b"ustar":
        return "tar"
    if _HTML.match(head[:4096]):
        return "html"
    return "json" if _JSON_LINES.match(head) else "text"
