"""Parses, validates and masks the URLs of Redis servers. Pure.

A text may hold several URLs, joined by ``;`` as Celery joins them: the nodes of a Sentinel.
Possible passwords are masked in the text before it is parsed, because a password that is not
percent-encoded changes how the URL is parsed.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

SENTINEL = ("redis-sentinel://", "sentinel://")
CLUSTER = ("redis-cluster://", "rediss-cluster://")
#: The schemes for which a text may hold several URLs.
SEVERAL = (*SENTINEL, *CLUSTER)

_NEXT = re.compile(r";(?=[A-Za-z][A-Za-z0-9+.-]*://)")
_SECRET_IN_QUERY = re.compile(r"(?i)([?&][^=&?#]*(?:passw|secret|token)[^=&?#]*=)([^&#]*)")
#: A host and the text in the place of its port.
_PORT = re.compile(r"(\[[^\]]*\]|[^:/?]*):([^/?]*)")
_MASK = "***"
_HINT = (
    "In the password, / ? # @ [ ] must be percent-encoded: %2F %3F %23 %40 %5B %5D, as in "
    "redis://:pass%2Fword@host:6379/0"
)


def split_urls(url: str) -> list[str]:
    """Return the URLs that *url* joins."""
    return _NEXT.split(url)


def safe_url(url: str) -> str:
    """Return *url* with its passwords, and other secrets in its query, masked.

    A login without a colon is masked too: Redis clients parse it as a user name, but a user who
    writes ``redis://word@host`` has usually forgotten the colon before a password.
    """
    return ";".join(_masked(part) for part in split_urls(url))


def _masked(url: str) -> str:
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    login, at, tail = rest.rpartition("@")
    if _SECRET_IN_QUERY.search(login):
        # That "@" may be part of a secret itself.
        return f"{scheme}{separator}{_MASK}"
    tail = _SECRET_IN_QUERY.sub(rf"\1{_MASK}", tail).partition("#")[0]
    if not at:
        host = _PORT.match(tail)
        if host and host[2] and not host[2].isdecimal():
            tail = f"{host[1]}:{_MASK}{tail[host.end() :]}"
        return f"{scheme}{separator}{tail}"
    user, colon, _ = login.partition(":")
    # One of these characters before the colon suggests a part of a password, not a user name.
    shown = f"{user}:" if colon and not re.search(r"[/?#\[\]]", user) else ""
    return f"{scheme}{separator}{shown}{_MASK}@{tail}"


def secrets_in(url: str) -> list[str]:
    """Return the secrets in *url*, percent-encoded and decoded, the longest first."""
    secrets: set[str] = set()
    for part in split_urls(url):
        login = part.partition("://")[2].rpartition("@")[0]
        user, colon, password = login.partition(":")
        secrets.add(password if colon else user)
        secrets.update(match[2] for match in _SECRET_IN_QUERY.finditer(part))
    secrets |= {unquote(secret) for secret in secrets}
    return sorted(secrets - {""}, key=len, reverse=True)


def fault_of(url: str) -> str:
    """Return why *url* is invalid, or differs from what its author intended; empty: valid."""
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
        # redis-py would silently use database 0.
        return (
            f"it names the database {database!r}, which must be a number, as in "
            "redis://localhost:6379/0"
        )
    return ""


def login_of(url: str) -> tuple[str, str]:
    """Return the user name and password of the first URL in *url* that has a password."""
    for part in map(urlsplit, split_urls(url)):
        if part.password:
            return unquote(part.username or ""), unquote(part.password)
    return "", ""


def nodes_of(url: str, port: int) -> list[tuple[str, int]]:
    """Return the hosts and ports in *url*; *port* is the default port."""
    parts = map(urlsplit, split_urls(url))
    return [(unquote(part.hostname or "localhost"), part.port or port) for part in parts]


def database_of(url: str) -> int | None:
    """Return the database of the first URL in *url* that has one."""
    for part in map(urlsplit, split_urls(url)):
        if part.path.strip("/"):
            return int(part.path.strip("/"))
    return None


def plain_url(url: str) -> str:
    """Return *url* with a scheme that redis-py supports."""
    scheme, _, rest = url.partition("://")
    plain = {"valkey": "redis", "valkeys": "rediss", "redis+socket": "unix"}.get(scheme, scheme)
    if scheme == "redis+socket":
        rest = rest.replace("virtual_host=", "db=")
    return f"{plain}://{rest}"
