"""Labels and annotations that Slipway writes or listens to: the part of the API that lives in metadata."""

from .base import GROUP

# Labels on everything that the operator makes.
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "slipway"
MODEL = f"{GROUP}/model"  # the RegisteredModel's name
MODEL_VERSION = f"{GROUP}/version"  # the version's number
PURPOSE = f"{GROUP}/purpose"  # what a Job is for: import or validate
OWNER_NAMESPACE = f"{GROUP}/owner-namespace"  # of an import Job, which lives beside the operator
TRACK = f"{GROUP}/track"  # of a serving pod: production
REGISTRY_SECRET = f"{GROUP}/registry"  # a Secret that a ModelRegistry may name carries this label

# What a person asks for; each new value is handled once.
ROLLBACK = f"{GROUP}/rollback"  # on a RegisteredModel: go back to the predecessor that is kept warm
RETRY = f"{GROUP}/retry"  # on a ModelVersion: import and validate again
RESUME = f"{GROUP}/resume"  # on a RegisteredModel: end the hold that a rollback has set
REFRESH = f"{GROUP}/refresh"  # on a RegisteredModel: render the serving pods anew
IMPLICIT = f"{GROUP}/implicit"  # on a RegisteredModel: the operator made it

BREAK_GLASS = f"{GROUP}/break-glass"  # on what the operator makes: why somebody else writes it

# Facts kept on serving objects, so that they outlive a lost status.
DIGEST = f"{GROUP}/digest"
SINCE = f"{GROUP}/since"
PREDECESSOR = f"{GROUP}/predecessor"
HANDLED_ROLLBACK = f"{GROUP}/handled-rollback"
ROLLED_BACK = f"{GROUP}/rolled-back"
HISTORY = f"{GROUP}/released"  # every released version's digest
RETURNED = f"{GROUP}/returned"
INPUTS = f"{GROUP}/inputs"  # hash of what a Deployment was rendered from
