"""`python -m ldmd.cli` is `ldm`."""

import sys

from ldmd.cli.main import main

sys.exit(main())
