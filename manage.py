#!/usr/bin/env python
"""Django's command line."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError


def main() -> None:
    """Run the command of the command line. A wrong setting or a database that is away is one line, not a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "simsearch.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"simsearch: {error}")
    except OperationalError as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"simsearch: The database (DATABASE_URL) reports: {str(error).strip().splitlines()[0]}")


if __name__ == "__main__":
    main()
