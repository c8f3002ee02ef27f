"""``python -m tallied`` is ``tallied``; both need the extra ``server``."""

from __future__ import annotations

import sys

from .errors import MissingExtraError

try:
    from .cli.app import main
except MissingExtraError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)

if __name__ == "__main__":
    main()
