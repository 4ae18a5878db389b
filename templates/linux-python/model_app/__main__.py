"""`python -m` of the package: the command, where it is not installed."""

import sys

from .main import main

sys.exit(main())
