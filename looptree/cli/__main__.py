"""`python -m looptree.cli` is the command `looptree`."""

import sys

from looptree.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
