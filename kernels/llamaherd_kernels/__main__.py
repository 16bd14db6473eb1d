"""Print where the plugin is, for ``GGML_BACKEND_PATH``."""

from llamaherd_kernels import LIBRARY

print(LIBRARY)
