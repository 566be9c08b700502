"""The cast: who comes to the gallery."""

import pytest
from django.contrib.auth.models import User
from django.test import Client


@pytest.fixture
def visitor(db: None) -> Client:
    """Somebody without an account."""
    return Client()


@pytest.fixture
def member(db: None) -> Client:
    """Somebody with an account who may not curate."""
    client = Client()
    client.force_login(User.objects.create_user("member"))
    return client


@pytest.fixture
def curator(db: None) -> Client:
    """Somebody who may do everything in the admin."""
    client = Client()
    client.force_login(User.objects.create_superuser("curator"))
    return client
