"""``python -m netassay`` is the command line."""

from netassay.cli.entry import run

if __name__ == "__main__":
    run()
