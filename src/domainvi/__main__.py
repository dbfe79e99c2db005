"""`python -m domainvi`."""

import sys

from domainvi.cli import main

if __name__ == "__main__":
    sys.exit(main())
