"""A ggml backend plugin with faster quantised matrix products; see the distribution's README.

Importing this loads nothing. llamaherd finds the plugin by itself; another program of llama.cpp
loads it when the environment says ``GGML_BACKEND_PATH=$(python -m llamaherd_kernels)``.
"""

from pathlib import Path

LIBRARY = Path(__file__).with_name("libggml-herd.so")
"""The plugin: a ggml backend for ``ggml_backend_load``."""
