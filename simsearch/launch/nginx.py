"""`python -m simsearch.launch.nginx [--main]`: print nginx's configuration for this server.

Without an option the site, for nginx's `sites-enabled/`; with `--main` the nginx.conf around it. The values come from
Django's settings; an environment variable of the name that a template documents wins.
"""

import argparse
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from simsearch.env import env
from simsearch.launch.preflight import StartError, authority

DOCKER = Path(__file__).resolve().parents[2] / "docker"
SITE, MAIN = DOCKER / "nginx.conf.template", DOCKER / "nginx.main.conf.template"
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
DOCUMENTED = re.compile(r"^#   (\w+)  +\S", re.MULTILINE)
# A value is quoted or ends at a semicolon; with these characters it could add directives.
UNQUOTABLE = re.compile(r"[\"'\\;{}$\x00-\x1f]")
DEBIANS = {
    "SIMSEARCH_NGINX_USER": "www-data",
    "SIMSEARCH_NGINX_ETC": "/etc/nginx",
    "SIMSEARCH_NGINX_LOGS": "/var/log/nginx",
    "SIMSEARCH_NGINX_STATE": "/var/lib/nginx",
    "SIMSEARCH_NGINX_PID": "/run/nginx.pid",
}


def main() -> None:
    """Print nginx's configuration, or end with one line on what is missing."""
    parser = argparse.ArgumentParser(prog="python -m simsearch.launch.nginx")
    parser.add_argument("--main", action="store_true", help="the nginx.conf, instead of the site")
    is_main = parser.parse_args().main
    try:
        template, values = (MAIN, DEBIANS) if is_main else (SITE, from_settings())
        print(render(template.read_text(), values | os.environ), end="")
    except (StartError, ImproperlyConfigured) as error:
        sys.exit(f"simsearch: {error}")


def render(template: str, values: Mapping[str, str]) -> str:
    """Fill in the values of the documented variables; nginx's own `$names` stay.

    Raises StartError when one is undocumented, empty, missing, or could add directives.
    """
    names = set(PLACEHOLDER.findall(template))
    if undocumented := names - set(DOCUMENTED.findall(template)):
        raise StartError(f"The template does not document {', '.join(sorted(undocumented))}.")
    if missing := sorted(name for name in names if not values.get(name)):
        raise StartError(f"{', '.join(missing)} must be set for nginx.")
    if bad := sorted(name for name in names if UNQUOTABLE.search(values[name])):
        raise StartError(f"{', '.join(bad)} has a character that nginx's configuration cannot hold.")
    return PLACEHOLDER.sub(lambda match: values[match[1]], template)


def from_settings() -> dict[str, str]:
    """Return the site's variables as this installation has them."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "simsearch.settings")
    host, port = env.str("SIMSEARCH_HOST", default="127.0.0.1"), env.str("SIMSEARCH_PORT", default="8000")
    return {
        "SIMSEARCH_NGINX_LISTEN": "80",
        "SIMSEARCH_NGINX_SERVER_NAME": " ".join(settings.ALLOWED_HOSTS).replace("*", "_"),
        "SIMSEARCH_WEB_UPSTREAM": authority(host, port),
        "SIMSEARCH_FLOWER_UPSTREAM": f"127.0.0.1:{env.str('SIMSEARCH_FLOWER_PORT', default='5555')}",
        "SIMSEARCH_MEDIA_ROOT": str(settings.MEDIA_ROOT),
        "SIMSEARCH_STATIC_ROOT": str(settings.STATIC_ROOT),
        "SIMSEARCH_ACCEL_PREFIX": settings.SIMSEARCH_ACCEL_PREFIX,
        "SIMSEARCH_MAX_BODY_BYTES": str(settings.SIMSEARCH_MAX_BODY_BYTES),
        "SIMSEARCH_UPLOADS_PER_MINUTE": str(settings.SIMSEARCH_UPLOADS_PER_MINUTE),
        "SIMSEARCH_NGINX_ACCESS_LOG": "/var/log/nginx/simsearch.log",
        "SIMSEARCH_TRUSTED_PROXY": "127.0.0.1",
    }


if __name__ == "__main__":
    main()
