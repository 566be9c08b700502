"""The Django app of the tasks."""

from django.apps import AppConfig


class TasksConfig(AppConfig):
    """An installed app so that it can own commands; loads neither torch nor annoy."""

    name = "tasks"

    def ready(self) -> None:
        """Register the system checks."""
        from tasks import checks  # noqa: F401  (registers them)
