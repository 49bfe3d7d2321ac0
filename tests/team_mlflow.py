"""MLflow as a team runs it: PostgreSQL, an S3 store, passwords, a path of its own, and a proxy with TLS in front."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from slipway.adapters.ports import Connection

from tests.certificates import self_signed
from tests.mlflow_server import MLflowServer, running_mlflow
from tests.postgres import running_postgres
from tests.proxies import Door, in_front_of
from tests.s3 import ID, KEY, REGION, client_of, running_s3

ADMINISTRATOR, PASSWORD = "admin", "a long password of the administrator"
USER = "slipway"
PREFIX, BUCKET = "/team/mlflow", "models"
AUTHORITY = self_signed("127.0.0.1")  # whom no system knows
SETTINGS = """[mlflow]
default_permission = NO_PERMISSIONS
database_uri = {database}
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


@dataclass(frozen=True)
class Team:
    """The server as its administrator reaches it, and the way to it that all others have."""

    server: MLflowServer
    door: Door
    database: str
    s3: str

    @property
    def uri(self) -> str:
        """The address that people know."""
        return f"{self.door.uri}{PREFIX}"

    def connection(self, password: str, user: str = USER) -> Connection:
        return Connection(self.uri, username=user, password=password, ca_certificates=AUTHORITY.public)

    def user(self, name: str, password: str, **grants: str) -> None:
        """Somebody new, who has these permissions on everything of a kind."""
        self.server.post("users/create", username=name, password=password)
        for kind, permission in grants.items():
            self.server.grant(name, kind, "*", permission)

    def password(self, name: str, password: str) -> None:
        """The user has another password from now on."""
        self.server.patch("users/update-password", username=name, password=password)

    def stored(self, *names: str) -> None:
        """So many registered models more, each with a version, written as the server would: in less time."""
        with psycopg2.connect(f"{self.database}mlflow") as connection, connection.cursor() as database:
            database.executemany(
                "INSERT INTO registered_models (name, creation_time, last_updated_time) VALUES (%s, 1000, 1000)",
                [(name,) for name in names],
            )
            database.executemany(
                "INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source, "
                "status) VALUES (%s, 1, 1000, 1000, 'None', 'models:/m', 'READY')",
                [(name,) for name in names],
            )
        connection.close()


@contextmanager
def running_team(folder: Path) -> Iterator[Team]:
    """All of it; the user `slipway` is not there yet."""
    for name in ("s3", "mlflow"):
        (folder / name).mkdir()
    with running_postgres("mlflow", "auth") as database, running_s3(folder / "s3") as s3:
        client_of(s3, BUCKET)
        by_psycopg2 = database.replace("postgresql:", "postgresql+psycopg2:")
        (folder / "auth.ini").write_text(SETTINGS.format(database=f"{by_psycopg2}auth"))
        environment = {
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "for a test",
            "MLFLOW_S3_ENDPOINT_URL": s3,
            "AWS_ACCESS_KEY_ID": ID,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_DEFAULT_REGION": REGION,
        }
        options = ["--app-name", "basic-auth", "--backend-store-uri", f"{by_psycopg2}mlflow"]
        options += ["--artifacts-destination", f"s3://{BUCKET}/mlflow", "--static-prefix", PREFIX]
        signed = base64.b64encode(f"{ADMINISTRATOR}:{PASSWORD}".encode()).decode()
        with running_mlflow(folder / "mlflow", options, environment, {"Authorization": f"Basic {signed}"}) as server:
            upstream = server.uri.removesuffix(PREFIX)
            (server.directory / "artifacts").symlink_to(folder / "s3" / "buckets" / BUCKET / "mlflow")
            with in_front_of(upstream, AUTHORITY) as door:
                yield Team(server, door, database, s3)
