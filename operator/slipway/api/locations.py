"""Where the files of a model version lie, as a value: read strictly, so that no address means two places."""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

PROXIED = "mlflow-artifacts"  # behind MLflow's server, which hands files out
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Location:
    """A folder: `scheme://authority/path`, or `scheme:/path`, where there is no authority."""

    scheme: str
    authority: str
    path: str  # without a slash at either end

    def __str__(self) -> str:
        return f"{self.scheme}:{f'//{self.authority}' if self.authority else ''}/{self.path}"


def location(uri: str) -> Location | None:
    """The folder that an artifact URI names; None where it names none without doubt.

    `?` and `#` end the address for MLflow's clients, `..` leads out of its folder, and MLflow's server undoes percent
    signs until there are none. A path alone is the scheme `file`.
    """
    scheme, colon, rest = uri.partition(":")
    if not colon or "/" in scheme:
        scheme, rest = "file", uri
    authority = ""
    if rest.startswith("//") and scheme != "file":
        authority, _, rest = rest[2:].partition("/")
    path = rest.strip("/")
    if re.search(r"[?#]", uri) or not re.fullmatch(r"[\w.:\[\]-]*", authority, re.ASCII):
        return None
    if not is_inside(path) or not is_inside(_decoded(path)):
        return None
    return Location(scheme.lower(), authority.lower() if scheme == PROXIED else authority, path)


def covers(prefix: str, place: Location) -> bool:
    """Whether a location is the folder that a prefix (`s3://bucket/path`) names, or lies in it."""
    scheme, _, rest = prefix.partition("://")
    bucket, _, path = rest.rstrip("/").partition("/")
    inside = not path or place.path == path or place.path.startswith(f"{path}/")
    return (place.scheme, place.authority) == (scheme, bucket) and inside


def is_inside(path: str) -> bool:
    """Whether a relative path stays inside its folder, by MLflow's own rules."""
    return bool(path) and not re.search(r"[\\#\x00-\x1f]", path) and not {"", ".", ".."} & set(path.split("/"))


def at_home(place: Location, uri: str, hosts: tuple[str, ...]) -> Location:
    """The location without its host, if that is the server at `uri` or one of its other names (`host` or `host:port`).

    A name without a port has that of the server's scheme, 80 or 443.
    """
    if place.scheme != PROXIED or not place.authority:
        return place
    own = urlsplit(uri)
    port = _PORTS.get(own.scheme, 80)
    known = {_with_port(host, port) for host in (own.netloc, *hosts)}
    return Location(PROXIED, "", place.path) if _with_port(place.authority, port) in known else place


def _with_port(host: str, port: int) -> str:
    return host.lower() if re.search(r":[0-9]+$", host) else f"{host.lower()}:{port}"


def _decoded(path: str) -> str:
    while (shorter := unquote(path)) != path:
        path = shorter
    return path
