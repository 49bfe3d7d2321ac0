"""Models that were logged by earlier releases of MLflow, on a server of today: they are found, read and described."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from slipway.api.facts import Facts
from slipway.core.registry import Absent, Entry
from slipway.runner import environment
from slipway.runner.outcome import Refused

from tests.adapters.registry_shelf import MLflowShelf

LOGGED = Path(__file__).parent / "logged"


@dataclass(frozen=True)
class Case:
    """A release, and what its files tell."""

    release: str
    because: str
    size_bytes: int | None
    packages: dict[str, str]
    unfit: str  # why today's image cannot run it

    @property
    def folder(self) -> Path:
        return LOGGED / self.release


CASES = [
    Case(
        "1.30.0", "its files have no size and no model id, the environment is one file, MLflow is not pinned", None,
        {"mlflow": "", "cloudpickle": "==2.2.1", "pandas": "==2.1.4", "scikit-learn": "==1.5.2"},
        "scikit-learn==1.5.2 wanted",
    ),
    Case(
        "2.9.2", "its files have no model id, and the environment is told by kinds", 569,
        {"mlflow": "==2.9.2", "cloudpickle": "==3.1.3", "pandas": "==2.1.4", "scikit-learn": "==1.5.2"},
        "mlflow==2.9.2 wanted",
    ),
]  # fmt: skip


@pytest.fixture(params=CASES, ids=lambda case: case.release)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def register(mlflow: MLflowShelf, name: str, case: Case) -> str:
    """As that release's client does it: the files lie in the run, and the version's source names them there."""
    server = mlflow.server
    info = server.post("runs/create", experiment_id="0")["run"]["info"]
    for file in sorted(case.folder.iterdir()):
        server.upload(info["artifact_uri"], f"model/{file.name}", file.read_bytes())
    server.post("registered-models/create", name=name)
    source = f"{info['artifact_uri']}/model"
    server.post("model-versions/create", name=name, source=source, run_id=info["run_id"])
    return source


async def test_it_is_resolved(mlflow: MLflowShelf, name: str, case: Case) -> None:
    source = register(mlflow, name, case)
    found = await mlflow.registry.resolve(name, 1)
    assert not isinstance(found, Absent), (case.because, found)
    assert (found.source, found.location, found.model_id) == (source, source, None)
    assert (found.mlflow_version, found.flavors) == (case.release, ("python_function", "sklearn"))
    assert found.size_bytes == case.size_bytes, case.because


async def test_a_run_and_a_path_lead_to_it_too(mlflow: MLflowShelf, name: str, case: Case) -> None:
    register(mlflow, name, case)
    first = await mlflow.registry.resolve(name, 1)
    assert isinstance(first, Entry)
    mlflow.server.post("model-versions/create", name=name, source=f"runs:/{first.run_id}/model", run_id=first.run_id)
    second = await mlflow.registry.resolve(name, 2)
    assert isinstance(second, Entry)
    assert (second.location, second.mlmodel_digest) == (first.location, first.mlmodel_digest)


async def test_its_files_say_what_it_takes_and_needs(mlflow: MLflowShelf, name: str, case: Case) -> None:
    register(mlflow, name, case)
    found = await mlflow.registry.facts(name, 1)
    assert isinstance(found, Facts)
    assert (found.inputs, found.outputs) == ({"distance": "double"}, {"0": "float64[-1]"})
    assert (found.packages, found.python, found.unread) == (case.packages, "3.11.7", ())


def test_an_image_that_cannot_run_it_says_why(case: Case) -> None:
    with pytest.raises(Refused, match=case.unfit):
        environment.check(case.folder)
