"""Detects projects that customise how Celery makes messages.

Projects and instrumentation do so with subclasses, with attributes of one object, or with functions
that they patch into Celery's classes. The functions check each place where Celery calls such code;
if all checks pass, Celery alone makes the message.
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
#: The methods of kombu's producer that a message passes.
_PUBLISHING = ("publish", "_publish", "_prepare")


def is_from(function: Any, module: ModuleType) -> bool:
    """Whether *function* is a plain function that *module* defines.

    A wrapper may have the same name, but its globals are those of another module.
    """
    return type(function) is FunctionType and function.__globals__ is vars(module)


def overridden(kind: type, base: type, names: Iterable[str]) -> list[str]:
    """Return the methods of *names* that the class *kind* overrides in *base*, as ``Kind.name``."""
    return [
        f"{kind.__name__}.{name}"
        for name in names
        if getattr(kind, name, None) is not getattr(base, name, None)
    ]


def sends_as_celery(scheduler: Scheduler) -> bool:
    """Whether *scheduler* and its app make the messages of all tasks as Celery does."""
    app: Any = scheduler.app
    scheduler_class = type(scheduler)
    app_class = type(app)
    messages: Any = app.amqp
    make = getattr(messages.create_task_message, "__func__", None)
    return (
        scheduler_class.apply_async is Scheduler.apply_async
        and scheduler_class.send_task is Scheduler.send_task
        and is_from(Scheduler.apply_async, beat)
        and is_from(Scheduler.send_task, beat)
        and not {"apply_async", "send_task"} & vars(scheduler).keys()
        and app_class.send_task is Celery.send_task
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
    """Whether *backend* handles a call (``on_task_call``) as a backend of Celery does."""
    call = type(backend).on_task_call
    module = call.__globals__["__name__"] if type(call) is FunctionType else ""
    return "on_task_call" not in vars(backend) and module.startswith(_BACKENDS)


def is_called_as_celerys(task: Any) -> bool:
    """Whether *task* does not customise its messages."""
    return (
        type(task).apply_async is Task.apply_async
        and type(task).shadow_name is Task.shadow_name
        and type(task)._get_exec_options is Task._get_exec_options
        and not {"apply_async", "shadow_name", "_get_exec_options"} & vars(task).keys()
        and getattr(task, "__self__", None) is None
        and getattr(task, "_dump_pydantic_arguments", None) is None
    )
