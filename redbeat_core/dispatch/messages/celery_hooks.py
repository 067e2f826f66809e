"""Detects projects that customise how messages are made: subclasses, patches, routers.

Projects and instrumentation customise messages by subclasses, by attributes of one object, and by
functions put into Celery's classes. Each check looks where Celery calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import Any

from celery import Celery, Task, beat
from celery.app import amqp, base, routes
from celery.app import task as tasks
from celery.beat import Scheduler
from kombu import messaging

_BACKENDS = "celery.backends."
#: What kombu's producer does to a message on its way.
_PUBLISHING = ("publish", "_publish", "_prepare")


def is_from(function: Any, module: ModuleType) -> bool:
    """Whether *module* defines the plain function *function*. A wrapper may copy the name, and
    still belongs to another module.
    """
    return type(function) is FunctionType and function.__globals__ is vars(module)


def overridden(kind: type, base: type, names: Iterable[str]) -> list[str]:
    """List the methods among *names* that the class *kind* has in place of *base*'s, as
    ``Kind.name``.
    """
    return [
        f"{kind.__name__}.{name}"
        for name in names
        if getattr(kind, name, None) is not getattr(base, name, None)
    ]


def sends_as_celery(scheduler: Scheduler) -> bool:
    """Whether *scheduler* and its app make messages as Celery does, whatever the task."""
    app: Any = scheduler.app
    of_scheduler, of_app = type(scheduler), type(app)
    messages: Any = app.amqp
    make = getattr(messages.create_task_message, "__func__", None)
    return (
        of_scheduler.apply_async is Scheduler.apply_async
        and of_scheduler.send_task is Scheduler.send_task
        and is_from(Scheduler.apply_async, beat)
        and is_from(Scheduler.send_task, beat)
        and not {"apply_async", "send_task"} & vars(scheduler).keys()
        and of_app.send_task is Celery.send_task
        and is_from(Celery.send_task, base)
        and "send_task" not in vars(app)
        and is_from(Task.apply_async, tasks)
        and type(messages) is amqp.AMQP
        and make is amqp.AMQP.as_task_v2
        and is_from(make, amqp)
        and is_from(messages.send_task_message, amqp)
        and messages.Producer is messaging.Producer
        and all(is_from(getattr(messaging.Producer, name), messaging) for name in _PUBLISHING)
        and type(messages.router) is routes.Router
        and all(type(route) is routes.MapRoute for route in messages.routes)
        and _is_celerys(app.backend)
    )


def _is_celerys(backend: Any) -> bool:
    """Whether *backend* handles a call as one of Celery's does."""
    call = type(backend).on_task_call
    named = call.__globals__["__name__"] if type(call) is FunctionType else ""
    return "on_task_call" not in vars(backend) and named.startswith(_BACKENDS)


def is_called_as_celerys(task: Any) -> bool:
    """Whether *task* adds nothing of its own to its messages."""
    return (
        type(task).apply_async is Task.apply_async
        and type(task).shadow_name is Task.shadow_name
        and type(task)._get_exec_options is Task._get_exec_options
        and not {"apply_async", "shadow_name", "_get_exec_options"} & vars(task).keys()
        and getattr(task, "__self__", None) is None
        and getattr(task, "_dump_pydantic_arguments", None) is None
    )
