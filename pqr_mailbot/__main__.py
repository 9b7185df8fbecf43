"""Starts the command line; Ctrl-C ends it in one line while it is still being loaded, too."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from pqr_mailbot.cli import main as run
    except KeyboardInterrupt:
        sys.exit("interrupted")
    run()


if __name__ == "__main__":
    main()
