"""llama.cpp's C API through ctypes: mechanism without policy.

``bindings`` has every function, struct, enum and constant under its C name; ``handles`` owns what
must be freed; ``library`` finds and loads the shared library at the first call, not at import.
"""
