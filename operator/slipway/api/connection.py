"""How an MLflow server is reached: its address, and what proves to it who asks."""

from typing import Annotated

from pydantic import Field

from .base import Duration, ResourceName, Value, between, exactly_one, keyed_by, rules
from .locations import AZURE, CONTAINER


class SecretRef(Value):
    """A Secret beside the ModelRegistry; it must carry the label `slipway.dev/registry`."""

    name: Annotated[ResourceName, Field(description="Name of the Secret.")]


class BasicAuth(Value):
    """HTTP basic authentication, as MLflow's `basic-auth` app takes it."""

    secret_ref: Annotated[
        SecretRef,
        Field(
            description="A Secret with the keys `username` and `password`, beside the ModelRegistry and labelled "
            "`slipway.dev/registry`."
        ),
    ]


class BearerAuth(Value):
    """A bearer token, for a proxy in front of MLflow."""

    secret_ref: Annotated[
        SecretRef,
        Field(
            description="A Secret with the key `token`, beside the ModelRegistry and labelled `slipway.dev/registry`."
        ),
    ]


class ServiceAccountToken(Value):
    """The operator's own token, sent as a bearer token; its audience is `registries.tokenAudience` of the chart."""


class Auth(Value):
    """How the operator proves who it is to the registry: exactly one of the members."""

    model_config = rules(exactly_one("basic", "bearer", "serviceAccountToken"))

    basic: Annotated[BasicAuth | None, Field(description="HTTP basic authentication.")] = None
    bearer: Annotated[BearerAuth | None, Field(description="A bearer token.")] = None
    service_account_token: Annotated[
        ServiceAccountToken | None,
        Field(
            description="A token of the operator's ServiceAccount, for a proxy that has the API server review it; "
            "the API server itself does not take it. Only in the namespaces of the chart's `registries.namespaces`."
        ),
    ] = None


class ClientCertificate(Value):
    """What the operator shows in the TLS handshake."""

    secret_ref: Annotated[
        SecretRef,
        Field(
            description="A Secret of the type kubernetes.io/tls (`tls.crt`, `tls.key`), beside the ModelRegistry and "
            "labelled `slipway.dev/registry`."
        ),
    ]


class Timeouts(Value):
    """How long the server may take; for imports as for all else."""

    model_config = rules(between("connect", "1s", "1m"), between("answer", "1s", "10m"))

    connect: Annotated[Duration, Field(description="Until a connection is there, such as 3s.")] = "3s"
    answer: Annotated[
        Duration,
        Field(description="Until an answer is there, with a second try; for an import, until the next byte of a file."),
    ] = "10s"


class ConfigMapKeyRef(Value):
    """One key of a ConfigMap beside the ModelRegistry."""

    name: Annotated[ResourceName, Field(description="Name of the ConfigMap.")]
    key: Annotated[str, Field(min_length=1, max_length=253, description="Key inside it.")]


class CABundle(Value):
    """Certificates (PEM) that the registry's own may be checked against, beside the public authorities."""

    config_map_key_ref: Annotated[ConfigMapKeyRef, Field(description="Where the certificates are.")]


ArtifactHost = Annotated[
    str, Field(min_length=1, max_length=259, pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$")
]


_BUCKET = "(s3|gs)://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]"


class ArtifactRoot(Value):
    """A folder of a bucket that holds models, and how imports read it: the server need not hand them out."""

    prefix: Annotated[
        str,
        Field(
            min_length=6,
            max_length=1024,
            pattern=rf"^({_BUCKET}|({'|'.join(AZURE)})://{CONTAINER})(/[^/?#\s]+)*/?$",
            description="Where models may lie, such as `s3://models/team-air`: this folder and what is in it. Google "
            "Cloud Storage (`gs://`) is read with HMAC keys. On Azure it is "
            "`wasbs://<container>@<account>.blob.core.windows.net/<path>`, which holds for the same folder as "
            "`abfss://<container>@<account>.dfs.core.windows.net/<path>`, too, and the other way around.",
        ),
    ]
    secret_ref: Annotated[
        SecretRef | None,
        Field(
            description="A Secret with the keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or for Azure with "
            "one of `AZURE_STORAGE_CONNECTION_STRING`, `AZURE_STORAGE_ACCESS_KEY` and `AZURE_STORAGE_SAS_TOKEN`; "
            "beside the ModelRegistry and labelled `slipway.dev/registry`. Without it, the bucket is read as a public "
            "one."
        ),
    ] = None
    endpoint: Annotated[
        str | None,
        Field(
            max_length=2048,
            pattern=r"^https?://[^\s@?#]+$",
            description="URL of an S3 store other than AWS; for `gs://`, the default is "
            "https://storage.googleapis.com. On Azure: the URL of the account's Blob service, if it is another than "
            "https://<account>.blob.core.windows.net.",
        ),
    ] = None
    region: Annotated[
        str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$", description="Region of the bucket.")
    ] = "us-east-1"
    models: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=256)], ...],
        Field(
            max_length=64,
            description="Names of the registered models whose files may lie here, in which `*` stands for any "
            "characters, such as `air-*`. Default: all, and then whoever may register a version can name any file "
            "here. Of several roots that hold a file, the deepest decides.",
        ),
    ] = ()


class MLflow(Value):
    """An MLflow tracking server with its model registry."""

    model_config = rules(
        ("!has(self.clientCertificate) || self.uri.startsWith('https:')", "a clientCertificate needs a uri of https"),
        (
            "!has(self.auth) || !has(self.auth.serviceAccountToken) || "
            r"self.uri.matches('^(https://.+|http://[^/:]+\\.svc(\\.cluster\\.local)?(:[0-9]+)?(/.*)?)$')",
            "a serviceAccountToken needs a uri of https, or a Service of the cluster (<name>.<namespace>.svc)",
        ),
    )

    uri: Annotated[
        str,
        Field(
            min_length=8,
            max_length=2048,
            pattern=r"^https?://[^\s@?#]+$",
            description="Base URL of the MLflow server, without credentials.",
        ),
    ]
    auth: Annotated[Auth | None, Field(description="Credentials; without it, requests are anonymous.")] = None
    client_certificate: Annotated[
        ClientCertificate | None, Field(description="A certificate of our own (mutual TLS), beside any `auth`.")
    ] = None
    ca_bundle: Annotated[CABundle | None, Field(description="Certificates of a private authority.")] = None
    artifact_hosts: Annotated[
        tuple[ArtifactHost, ...],
        Field(
            max_length=16,
            description="Other names of this same server, as `mlflow-artifacts://host:port/…` addresses of files have "
            "them; they are asked for at `uri`. Without a port, it is 80 or 443.",
        ),
    ] = ()
    artifact_roots: Annotated[
        tuple[ArtifactRoot, ...],
        Field(
            max_length=16,
            json_schema_extra=keyed_by("prefix"),
            description="Buckets that imports read themselves, for models that this server does not hand out; "
            "default: none.",
        ),
    ] = ()
    proxy: Annotated[
        str | None,
        Field(
            min_length=8,
            max_length=512,
            pattern=r"^https?://[^\s@?#/]+/?$",
            description="Proxy on the way to the server, for imports too: its URL, without credentials.",
        ),
    ] = None
    timeouts: Annotated[Timeouts, Field(description="How long the server may take.")] = Timeouts()
