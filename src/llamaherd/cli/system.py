"""This machine as llama.cpp sees it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from llamaherd.native import bindings as c

_KINDS = {
    c.GGML_BACKEND_DEVICE_TYPE_CPU: "CPU",
    c.GGML_BACKEND_DEVICE_TYPE_GPU: "GPU",
    c.GGML_BACKEND_DEVICE_TYPE_IGPU: "integrated GPU",
    c.GGML_BACKEND_DEVICE_TYPE_ACCEL: "accelerator",
}


@dataclass(frozen=True)
class Device:
    """A compute device of this process."""

    name: str
    description: str
    kind: str
    free_bytes: int
    total_bytes: int


def devices() -> list[Device]:
    """All of them, in ggml's order."""
    return [_device(c.ggml_backend_dev_get(i)) for i in range(c.ggml_backend_dev_count())]


def _device(pointer: c.ggml_backend_dev_t) -> Device:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    c.ggml_backend_dev_memory(pointer, ctypes.byref(free), ctypes.byref(total))
    return Device(
        name=(c.ggml_backend_dev_name(pointer) or b"?").decode(),
        description=(c.ggml_backend_dev_description(pointer) or b"").decode().strip(),
        kind=_KINDS.get(c.ggml_backend_dev_type(pointer), "device"),
        free_bytes=free.value,
        total_bytes=total.value,
    )


def device_names() -> list[str]:
    """What the devices are called, with their description where there is one."""
    return [f"{d.name} ({d.description})" if d.description else d.name for d in devices()]


def cpu_features() -> list[str]:
    """Instruction sets that this build of llama.cpp uses (``llama_print_system_info``)."""
    text = (c.llama_print_system_info() or b"").decode()
    pairs = (part.rpartition(":")[2].partition("=") for part in text.split("|"))
    return [name.strip() for name, _, value in pairs if value.strip() not in ("", "0")]
