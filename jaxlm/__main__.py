"""`python -m jaxlm`: the same as `jaxlm`."""

import sys

from jaxlm.cli import main

sys.exit(main())
