"""``python -m autoscaler``: the ``autoscale`` command where scripts are not on the path."""

import sys

from autoscaler.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
