"""``python -m llamaherd`` is the program ``llamaherd``."""

from llamaherd.cli.main import run

if __name__ == "__main__":
    run()
