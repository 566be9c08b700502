#!/usr/bin/env python
"""Django's command line."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError

STOPPED = 130  # the exit code after Ctrl-C


def main() -> None:
    """Run the command of the command line. What the operator can mend is one line, with --traceback more."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "simsearch.settings")
    try:
        refuse_root()
        execute_from_command_line(sys.argv)
        sys.stdout.flush()
    except ImproperlyConfigured as error:
        sys.exit(f"simsearch: {error}")
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(STOPPED)
    except BrokenPipeError:  # `| head`; Python would report the rest of its output once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (DataError, IntegrityError):  # a fault of simsearch
        raise
    except (DatabaseError, InterfaceError, OSError) as error:
        if "--traceback" in sys.argv:
            raise
        from gallery import persistence  # needs the settings

        source = "" if isinstance(error, OSError) else "The database (DATABASE_URL) reports: "
        sys.exit(f"simsearch: {source}{persistence.reason(error)}")


def refuse_root() -> None:
    """Exit where root would write files that simsearch's own account cannot read: the site would not start again."""
    from simsearch.env import DATA_DIR  # raises ImproperlyConfigured

    if os.geteuid() == 0 and DATA_DIR.exists() and (owner := DATA_DIR.stat().st_uid):
        sys.exit(f"simsearch: {DATA_DIR} belongs to another account: run this as that one (sudo -u '#{owner}').")


if __name__ == "__main__":
    main()
