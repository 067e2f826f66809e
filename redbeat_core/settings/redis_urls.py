"""The addresses of Redis servers as settings hold them: taken apart, checked, shown. Pure.

An address may be several, joined by ``;`` as Celery joins them: the nodes of a Sentinel.
Whatever may be a password is masked before anything else looks at the text, for a password that
is not percent-encoded makes it mean something else.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

SENTINEL = ("redis-sentinel://", "sentinel://")
CLUSTER = ("redis-cluster://", "rediss-cluster://")
#: What addresses start with that may be several.
SEVERAL = (*SENTINEL, *CLUSTER)

_NEXT = re.compile(r";(?=[A-Za-z][A-Za-z0-9+.-]*://)")
_SECRET_IN_QUERY = re.compile(r"(?i)([?&][^=&?#]*(?:passw|secret|token)[^=&?#]*=)([^&#]*)")
#: A host and what stands where its port should be.
_PORT = re.compile(r"(\[[^\]]*\]|[^:/?]*):([^/?]*)")
_MASK = "***"
_HINT = (
    "In the password, / ? # @ [ ] must be percent-encoded: %2F %3F %23 %40 %5B %5D, as in "
    "redis://:pass%2Fword@host:6379/0"
)


def split_urls(url: str) -> list[str]:
    """The addresses of which *url* consists."""
    return _NEXT.split(url)


def safe_url(url: str) -> str:
    """*url* without its passwords (or other secrets in its query).

    A login without a colon is masked too: Redis clients take it for a user name, but who writes
    ``redis://word@host`` has mostly forgotten the colon before a password.
    """
    return ";".join(_masked(part) for part in split_urls(url))


def _masked(url: str) -> str:
    scheme, mark, rest = url.partition("://") if "://" in url else ("", "", url)
    login, at, tail = rest.rpartition("@")
    if _SECRET_IN_QUERY.search(login):
        # That "@" may be part of a secret itself.
        return f"{scheme}{mark}{_MASK}"
    tail = _SECRET_IN_QUERY.sub(rf"\1{_MASK}", tail).partition("#")[0]
    if not at:
        host = _PORT.match(tail)
        if host and host[2] and not host[2].isdecimal():
            tail = f"{host[1]}:{_MASK}{tail[host.end() :]}"
        return f"{scheme}{mark}{tail}"
    user, colon, _ = login.partition(":")
    known = colon and not re.search(r"[/?#\[\]]", user)
    return f"{scheme}{mark}{user if known else ''}{':' if known else ''}{_MASK}@{tail}"


def secrets_in(url: str) -> list[str]:
    """What must not be shown of *url*, as it is written and as it is meant; longest first."""
    found: set[str] = set()
    for part in split_urls(url):
        login = part.partition("://")[2].rpartition("@")[0]
        user, colon, password = login.partition(":")
        found.add(password if colon else user)
        found.update(match[2] for match in _SECRET_IN_QUERY.finditer(part))
    found |= {unquote(secret) for secret in found}
    return sorted(found - {""}, key=len, reverse=True)


def fault_of(url: str) -> str:
    """Why *url* is no address, or means another one than it seems to; empty when it is fine."""
    urls = split_urls(url)
    if len(urls) > 1 and not urls[0].startswith(SEVERAL):
        return "only the nodes of a Sentinel or a Cluster may be several addresses joined by ';'"
    return next(filter(None, map(_fault, urls)), "")


def _fault(url: str) -> str:
    try:
        parts = urlsplit(url)
        readable = parts.port is None or parts.port > 0
    except ValueError:
        readable = False
    if not readable:
        if re.search(r"[/?#\[\]]", url.partition("://")[2].rpartition("@")[0]):
            return f"its host and port cannot be read. {_HINT}"
        return "its port must be a number from 1 to 65535, or a host in [ ] is not complete"
    if "unix" in parts.scheme or "socket" in parts.scheme:
        return ""
    in_query = "@" in parts.query and not parts.hostname
    if "@" in parts.path or "@" in parts.fragment or in_query:
        return f"its password ends the address too early. {_HINT}"
    database = parts.path.strip("/")
    if database and not database.isdecimal():
        # redis-py would take it for database 0, in silence.
        return (
            f"it names the database {database!r}, which must be a number, as in "
            "redis://localhost:6379/0"
        )
    return ""


def login_of(url: str) -> tuple[str, str]:
    """The user name and the password in *url*, those of the first address that has a password."""
    for part in map(urlsplit, split_urls(url)):
        if part.password:
            return unquote(part.username or ""), unquote(part.password)
    return "", ""


def nodes_of(url: str, port: int) -> list[tuple[str, int]]:
    """The hosts and ports in *url*; *port* where none is given."""
    parts = map(urlsplit, split_urls(url))
    return [(unquote(part.hostname or "localhost"), part.port or port) for part in parts]


def database_of(url: str) -> int | None:
    """The database in *url*: that of the first address that has one."""
    for part in map(urlsplit, split_urls(url)):
        if part.path.strip("/"):
            return int(part.path.strip("/"))
    return None


def plain_url(url: str) -> str:
    """*url* with a scheme that redis-py knows."""
    scheme, _, rest = url.partition("://")
    known = {"valkey": "redis", "valkeys": "rediss", "redis+socket": "unix"}.get(scheme, scheme)
    if scheme == "redis+socket":
        rest = rest.replace("virtual_host=", "db=")
    return f"{known}://{rest}"
