"""The WSGI application that gunicorn serves."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from simsearch.turns import InTurn, Turns

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "simsearch.settings")

application = InTurn(get_wsgi_application(), Turns(settings.REQUESTS_AT_ONCE))
