"""Where the files of a model version lie, as a value: read strictly, so that no address means two places."""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

PROXIED = "mlflow-artifacts"  # behind MLflow's server, which hands files out
AZURE = ("wasbs", "abfss")  # two schemes, and `blob` or `dfs` in the authority, for what is one store
# <container>@<account>.blob.core.windows.net
CONTAINER = r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]@[a-z0-9]{3,24}\.(blob|dfs)(\.[a-z0-9-]+)+"
_WITH_CONTAINER = (*AZURE, "wasb", "abfs")  # the latter two without TLS: no client of MLflow's reads them
_AUTHORITY = r"[\w.:\[\]-]*"
_DECODED = "abfss"  # MLflow's client undoes percent signs once
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Location:
    """A folder: `scheme://authority/path`, or `scheme:/path`, where there is no authority."""

    scheme: str
    authority: str
    path: str  # without a slash at either end; as the store knows it

    def __str__(self) -> str:
        path = self.path.replace("%", "%25").replace("?", "%3F") if self.scheme == _DECODED else self.path
        return f"{self.scheme}:{f'//{self.authority}' if self.authority else ''}/{path}"

    @property
    def store(self) -> tuple[str, str]:
        """Scheme and authority, the same for all addresses of a container on Azure."""
        if self.scheme in AZURE:
            return AZURE[0], self.authority.replace(".dfs.", ".blob.", 1)
        return self.scheme, self.authority


def location(uri: str) -> Location | None:
    """The folder that an artifact URI names; None where it names none without doubt.

    `?` and `#` end the address for MLflow's clients, `..` leads out of its folder, and MLflow's server undoes percent
    signs until there are none. A path alone is the scheme `file`.
    """
    place = _root(uri)
    return place if place is not None and place.path else None


def covers(prefix: str, place: Location) -> bool:
    """Whether a location is the folder that a prefix (`s3://bucket/path`) names, or lies in it."""
    root = _root(prefix)
    if root is None or root.store != place.store:
        return False
    return not root.path or f"{place.path}/".startswith(f"{root.path}/")


def depth(prefix: str) -> int:
    """How deep the folder lies that a prefix names: of two that cover a location, the deeper one is greater."""
    root = _root(prefix)
    return len(root.path) if root else 0


def _root(uri: str) -> Location | None:
    """The folder, which may be a whole bucket."""
    scheme, colon, rest = uri.partition(":")
    if not colon or "/" in scheme:
        scheme, rest = "file", uri
    authority = ""
    if rest.startswith("//") and scheme != "file":
        authority, _, rest = rest[2:].partition("/")
    scheme, path = scheme.lower(), rest.strip("/")
    named = CONTAINER if scheme in _WITH_CONTAINER else _AUTHORITY
    if re.search(r"[?#]", uri) or not re.fullmatch(named, authority, re.ASCII):
        return None
    if path and not (is_inside(path) and is_inside(_decoded(path))):
        return None
    authority = authority.lower() if scheme == PROXIED else authority
    return Location(scheme, authority, unquote(path) if scheme == _DECODED else path)


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
