"""`python -m genjax` is `genjax`."""

import sys

if __name__ == '__main__':  # data workers import this file again, under another name
    if not sys.flags.safe_path:  # the current folder comes first: what lies there hides no package
        sys.path.append(sys.path.pop(0))
    from genjax.cli import main

    sys.exit(main())
