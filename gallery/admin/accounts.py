"""Users and groups in the admin site, with the same checks as our own lists."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User

from gallery.admin.base import CheckedAdmin

for model, theirs in [(User, UserAdmin), (Group, GroupAdmin)]:
    admin.site.unregister(model)
    admin.site.register(model, type(theirs.__name__, (CheckedAdmin, theirs), {}))
