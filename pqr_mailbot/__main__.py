"""`python -m pqr_mailbot` is the command `pqr-mailbot`."""

from pqr_mailbot.cli import main

if __name__ == "__main__":
    main()
