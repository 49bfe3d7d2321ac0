"""The task that each in-pod program is given: one JSON document in the environment variable SLIPWAY_TASK.

`ImportTask` goes to the pod beside the operator that holds the registry's credential; the others go to pods in the
user's namespace, which hold none.
"""

from typing import Annotated, Literal

from pydantic import Field, IPvAnyNetwork

from .base import Value
from .validation import Outputs

VARIABLE = "SLIPWAY_TASK"
SCORING = "SLIPWAY_SCORING"  # what `spec.serving.runtime.scoring` sets otherwise than its defaults

# Where the programs of a validation or serving pod find each other's files.
CANDIDATE = "/work/candidate"  # the model's files; also the model of a serving pod
CHAMPION = "/work/champion"
FEATURES = "/work/features"  # data.parquet or data.csv, without the targets
TRUTH = "/work/truth"  # target.parquet and facts.json; only fetch and judge see it
CANDIDATE_PREDICTIONS = "/work/candidate-predictions"  # predictions.json
CHAMPION_PREDICTIONS = "/work/champion-predictions"
ENVIRONMENT = "/work/environment"  # packages that the model was trained with, where the image has others
CHAMPION_ENVIRONMENT = "/work/champion-environment"
DATA = "/work/data"  # mount of the claim of pvc:// data, read-only
IMPORT = "/work/import"  # scratch of the import: the model's files and the data
# Files, each optional: username, password, token, ca.crt, tls.crt, tls.key; of a bucket, AWS_KEYS or one of AZURE_KEYS.
CREDENTIALS = "/run/slipway/registry"
PUSH = "/run/slipway/store"  # files: username, password; what the store asks of an import, and only imports have it
INDEX = "/run/slipway/index"  # files: <name of an index>.username, <name of an index>.password
AUTHORITIES = "/etc/slipway/authorities"  # file: ca.crt, the platform's own authorities; optional
DATA_CREDENTIALS = "/run/slipway/data"  # files: AWS_KEYS
# Named as MLflow's own client names its environment variables.
AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
AZURE_KEYS = ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_SAS_TOKEN")  # one of them

SERVER = "serve-candidate"  # the container in which a validation runs the candidate's server
SERVER_PORT = 8080  # of this and of every serving pod
ABOUT = "/slipway"  # path at which a server tells of itself: {"fastWay": …, "why": …}

DATA_BYTES = 4 * 1024**3  # evaluation data of at most this size is taken


class Store(Value):
    """The artifact store: an OCI registry (distribution-spec 1.1)."""

    url: str  # http(s)://host:port: of its reading side, or of the one that imports push to
    repository: str = "slipway"


class DataAccess(Value):
    """Which hosts evaluation data may be read from over http(s) and S3; the rest of the rules is fixed."""

    allowed_hosts: Annotated[
        tuple[str, ...],
        Field(description="Hosts that are read although they are of the cluster or in a denied range; *.name: below."),
    ] = ()
    denied_cidrs: Annotated[
        tuple[IPvAnyNetwork, ...], Field(description="Ranges that are not read, such as those of pods and Services.")
    ] = ()


class DataSource(Value):
    """Evaluation data as a validation pod gets it."""

    uri: str  # http(s), s3, pvc as in the API; store: data that the import put into the artifact store
    digest: str | None = None  # sha256:… of the file
    targets: tuple[str, ...]  # columns that are predicted
    endpoint: str | None = None  # of an S3 store other than AWS
    access: DataAccess = DataAccess()


class RegistryAccess(Value):
    """How an import reaches the registry."""

    proxy: str | None = None
    connect_seconds: float = 5.0
    answer_seconds: float = 30.0  # until the next byte


class Bucket(Value):
    """How a bucket with models is read; its credential is a file in CREDENTIALS."""

    endpoint: str | None = None  # None: AWS
    region: str


class ImportTask(Value):
    """Copy a version's files (and its data, where the registry holds that) from the registry into the store."""

    registry_uri: str
    registry_access: RegistryAccess = RegistryAccess()
    source: str | None = None  # where the files lie: mlflow-artifacts:/… (or models:/m-…, runs:/…); None: the data only
    bucket: Bucket | None = None  # where the source is s3://, gs://, wasbs:// or abfss://
    model_name: str
    version: int
    mlmodel_digest: str | None = None  # sha256:… of the MLmodel file that was resolved
    expected_digest: str | None = None  # digest that the user pinned
    data_uri: str | None = None  # runs:/… or mlflow-artifacts:/…
    data_digest: str | None = None  # digest that the user pinned
    max_bytes: int = 20 * 1024**3
    store: Store


class Problem(Value):
    """Termination message of a program that failed; read only from programs that run no model code."""

    reason: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z]{2,63}$")]
    message: Annotated[str, Field(max_length=1500)]


class ImportResult(Value):
    """Termination message of a successful import."""

    digest: str | None = None  # of the model's files; None: none were asked for
    size_bytes: int = 0
    data_digest: str | None = None
    data_problem: Problem | None = None  # why the data, and only the data, was not imported


class Index(Value):
    """A package index of the platform, as pip knows them; its credential is in INDEX."""

    name: str
    url: str


class EnvironmentTask(Value):
    """Bring the packages that a model was trained with into the store, where the image has others."""

    digest: str  # of the model's files
    indexes: tuple[Index, ...]  # each package comes from the first that has it
    proxy: str | None = None
    max_bytes: int
    refuse_unstated: bool | None = None  # a model whose files say nothing of its packages is refused
    store: Store
    python: str | None = None  # minor version of this image, which an earlier run chose; None: the runner image
    pythons: tuple[str, ...] = ()  # that there are images for, besides the runner image's own
    python_minor: Literal["Exact", "Nearest"] = "Exact"  # what a model may run on that states another one


class EnvironmentResult(Value):
    """Termination message of a successful EnvironmentTask."""

    python: str | None = None  # the one to run on; where it is not the task's, its image is to do the task
    digest: str | None = None  # of the packages' files; None: the image has what the model needs
    packages: int = 0
    size_bytes: int = 0
    notes: Annotated[str, Field(max_length=1000)] = ""  # what was left out, or taken for something else


class FetchTask(Value):
    """Bring models and data from the store into the pod's volumes, each checked against its digest."""

    store: Store
    candidate_digest: str
    champion_digest: str | None = None
    data: DataSource | None = None
    candidate_environment: str | None = None  # digest of its packages; None: those of the image
    champion_environment: str | None = None
    candidate_python: str | None = None  # minor version that these packages are for; None: this image's own
    champion_python: str | None = None
    check_environment: bool = True  # compare the model's requirements with what this image has
    refuse_unstated: bool | None = None  # as in EnvironmentTask


class ScoreTask(Value):
    """Load one model and write its predictions."""

    model: str  # folder of the model
    features: str | None  # folder with data.parquet or data.csv; None: use the model's own input example
    predictions: str  # folder for predictions.json
    secrets: tuple[str, ...] | None = None  # variables whose values no message tells


class Served(Value):
    """How the candidate's server beside the judge names what it serves."""

    model: str
    version: int
    port: int = SERVER_PORT
    request_seconds: float | None = None  # that it has for an answer; None: as many as by default
    max_body_bytes: int | None = None  # of a request; None: as many as by default
    is_quiet: bool | None = None  # what it says is in no message: it has Secrets


class JudgeTask(Value):
    """Ask the candidate's server, compare predictions with the truth, and report the metrics."""

    revision: str
    candidate_digest: str
    champion_digest: str | None = None
    model_type: Literal["regressor", "classifier"] | None = None
    positive_label: str | None = None
    outputs: Outputs | None = None
    with_data: bool = False
    metrics: tuple[str, ...] = ()  # that gates will ask for; of one of several targets, <target>/<metric>
    served: Served | None = None  # None: nothing is rehearsed
