"""`python -m genjax` is `genjax`."""

import sys

from genjax.cli import main

if __name__ == '__main__':  # data workers import this file again, under another name
    sys.exit(main())
