"""Labels and annotations that Slipway writes or listens to: the part of the API that lives in metadata."""

from .base import GROUP

# Labels on everything that the operator makes.
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "slipway"
MODEL = f"{GROUP}/model"  # the RegisteredModel's name
MODEL_VERSION = f"{GROUP}/version"  # the version's number
PURPOSE = f"{GROUP}/purpose"  # what a Job is for: import, data, environment or validate
POOL = f"{GROUP}/pool"  # of a validation Job
OWNER_NAMESPACE = f"{GROUP}/owner-namespace"  # of a Job that lives beside the operator
TRACK = f"{GROUP}/track"  # of a serving pod: production
REGISTRY_SECRET = f"{GROUP}/registry"  # a Secret that a ModelRegistry may name carries this label

# What a person asks for; each new value is handled once.
ROLLBACK = f"{GROUP}/rollback"  # on a RegisteredModel: go back to the predecessor, or to the version that it names
RESUME = f"{GROUP}/resume"  # on a RegisteredModel: rollouts may start again after a rollback
MODELS = f"{GROUP}/models"  # on a Namespace: "true" asks the operator to act there
RETRY = f"{GROUP}/retry"  # on a ModelVersion: import and validate again, and let a rolled-back version return
REFRESH = f"{GROUP}/refresh"  # on a RegisteredModel: render the serving pods anew
APPROVALS = (f"{GROUP}/approve", f"{GROUP}/approve-2")  # on a ModelVersion: a person agrees to its promotion
# On a ModelVersion: the operator made it for a label in the registry. On a RegisteredModel: the ModelRegistry whose
# discovery made it, as <namespace>/<name>. It grants nothing.
DISCOVERED = f"{GROUP}/discovered"
IMPLICIT = f"{GROUP}/implicit"  # on a RegisteredModel: the operator made it
BREAK_GLASS = f"{GROUP}/break-glass"  # on what the operator makes: why somebody else writes it

# Facts on what the operator makes.
RECEIVER = f"{GROUP}/receiver"  # on the Lease: where its holder takes webhooks that others pass on
DIGEST = f"{GROUP}/digest"  # of the model's files
ENVIRONMENT = f"{GROUP}/environment"  # on a serving pod: digest of its packages, where the image has others
PYTHON = f"{GROUP}/python"  # on a serving pod: its minor version, where that is not the runner image's own
RECORD = f"{GROUP}/record"  # on a Deployment: hash of the pod template that it runs
INPUTS = f"{GROUP}/inputs"  # on a record: hash of the settings that it was rendered from
