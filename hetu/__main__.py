"""`python -m hetu` is the command `hetu`."""

import sys

from hetu.cli.main import main

sys.exit(main())
