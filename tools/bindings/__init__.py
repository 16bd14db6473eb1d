"""The parts of tools/generate_bindings.py: find, parse, name and write llama.cpp's C API."""
