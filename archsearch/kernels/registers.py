"""What this processor keeps vectors in."""

from __future__ import annotations

from llvmlite import binding


def registers() -> tuple[int, int]:
    """How many registers for vectors this processor has, and the bits of one."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 32, 512
    if "neon" in features:
        return 32, 128
    return 16, 256 if features.get("avx") else 128
