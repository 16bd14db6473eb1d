"""The terminal program ``llamaherd``: one command a file.

Answers and results go to stdout, everything else to stderr. A command's file declares it; what it
runs with is imported when it runs, and Rich and prompt_toolkit when a table or a prompt is drawn:
help and shell completion need none of it, a first token little.
"""
