"""The Celery application without the tasks, for beat and Flower: they only pass names on.

With the tasks each of them would import torch: half a gigabyte and seconds of a start, twice, for nothing.
"""

import os

from celery import Celery

from simsearch.broker import Amqp

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "simsearch.settings")

app = Celery("simsearch", amqp=Amqp)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.imports = ()
