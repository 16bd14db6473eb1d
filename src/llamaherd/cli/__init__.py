"""The terminal program ``llamaherd``: one command a file.

Answers and results go to stdout, everything else to stderr. Rich and prompt_toolkit are imported
where a command draws a table or a prompt, so that a first token does not wait for them.
"""
