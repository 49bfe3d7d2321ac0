"""Whether an image has what a model needs: by name and version, importing nothing."""

import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
from slipway.runner import environment, stated
from slipway.runner.outcome import Refused

HAVE = version("scikit-learn")
XGBOOST = version("xgboost")
MLFLOW = version("mlflow")
MINOR = ".".join(platform.python_version_tuple()[:2])


@dataclass(frozen=True)
class Case:
    name: str
    requirements: str
    differs: str = ""  # "": it fits
    python: str = ""


CASES = [
    Case("nothing is wanted", ""),
    Case("the same version", f"scikit-learn=={HAVE}\n"),
    Case("names are compared as pip does", f"Scikit_Learn=={HAVE}"),
    Case(
        "comments, options and hashes",
        f"# of the run\n--extra-index-url https://x\nscikit-learn=={HAVE} --hash=sha256:0",
    ),
    Case("a continued line", f"scikit-learn=={HAVE} \\\n    --hash=sha256:0"),
    Case("another version", "scikit-learn==0.1", "scikit-learn==0.1 wanted, scikit-learn " + HAVE),
    Case("not there", "catboost==1.2", "catboost==1.2 wanted, absent"),
    Case("a marker that does not hold", "pywin32==300; sys_platform == 'win32'"),
    Case("a marker that holds", "catboost; python_version > '3'", "catboost wanted, absent"),
    Case("xgboost under its other name", f"xgboost-cpu=={XGBOOST}"),
    Case("both names", f"xgboost=={XGBOOST}\nxgboost-cpu=={XGBOOST}"),
    Case("another xgboost", "xgboost-cpu==1.0", "xgboost-cpu==1.0 wanted, xgboost " + XGBOOST),
    Case("an earlier MLflow of this major version", "mlflow==3.1.4\nmlflow-skinny==3.0"),
    Case("MLflow as it is saved by default", f"mlflow=={MLFLOW}"),
    Case("a later MLflow", "mlflow==3.999", "mlflow==3.999 wanted"),
    Case("an earlier major version of MLflow", "mlflow==2.22.0", "mlflow==2.22.0 wanted"),
    Case("a range of MLflow", "mlflow<3", "mlflow<3 wanted"),
    Case("a URL", "mine @ https://example.com/mine.whl", "mine from a URL"),
    Case("an editable", "-e git+https://example.com/mine", "cannot be checked"),
    Case("another file", "-r more.txt", "cannot be checked"),
    Case("not a requirement", "=== 3", "cannot be checked"),
    Case("the same minor Python", "", python=f"python: {MINOR}.99\n"),
    Case("another Python", "", "python 3.6.1 wanted", python="python: 3.6.1\n"),
    Case("a Python written as a number", "", "python 2.7 wanted", python="python: 2.7\n"),
    Case("no YAML", "", "not YAML", python="{"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_requirements(tmp_path: Path, case: Case) -> None:
    (tmp_path / "requirements.txt").write_text(case.requirements)
    if case.python:
        (tmp_path / "python_env.yaml").write_text(case.python)
    if not case.differs:
        return environment.check(tmp_path)
    with pytest.raises(Refused) as refused:
        environment.check(tmp_path)
    assert refused.value.reason == "EnvironmentNotReproducible"
    assert case.differs in str(refused.value)
    return None


def test_many_differences_are_counted_not_listed(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("\n".join(f"absent-{number}==1" for number in range(500)))
    with pytest.raises(Refused, match="and 488 more") as refused:
        environment.check(tmp_path)
    assert len(str(refused.value)) < 1500


def test_a_model_without_requirements_fits_unless_the_platform_refuses_it(tmp_path: Path) -> None:
    environment.check(tmp_path)
    with pytest.raises(Refused, match=r"^nothing is stated of the packages") as refused:
        environment.check(tmp_path, refuse_unstated=True)
    assert refused.value.reason == "EnvironmentUnstated"


@pytest.mark.parametrize("file", stated.FILES)
def test_one_file_states_something(tmp_path: Path, file: str) -> None:
    lock = 'version = 1\n[[package]]\nname = "flights"\nversion = "1"\nsource = { virtual = "." }\n'
    (tmp_path / file).write_text(lock if file == "uv.lock" else "")
    environment.check(tmp_path, refuse_unstated=True)


CONDA = [
    ("numpy", "numpy"),
    ("numpy=1.21", "numpy==1.21.*"),
    ("numpy 1.21", "numpy==1.21.*"),
    ("numpy=1.*", "numpy==1.*"),
    ("numpy=1.21.2", "numpy==1.21.2"),
    ("numpy==1.21.2", "numpy==1.21.2"),
    ("numpy=1.21.2=py39h1_0", "numpy==1.21.2"),
    ("numpy==1.21.2=py39", "numpy==1.21.2"),
    ("numpy 1.21.2 py39_0", "numpy==1.21.2"),
    ("numpy=1.21,<2", "numpy<2,==1.21.*"),
    ("numpy>=1.21,<2", "numpy<2,>=1.21"),
    ("conda-forge::numpy=1.21.2", "numpy==1.21.2"),
    ("numpy *", "numpy"),
]


@pytest.mark.parametrize(("conda", "want"), CONDA)
def test_versions_as_conda_writes_them(tmp_path: Path, conda: str, want: str) -> None:
    (tmp_path / "conda.yaml").write_text(json.dumps({"dependencies": [conda, "pip<=24"]}))
    found = stated.read(tmp_path)
    assert ([str(one) for one in found.requirements], found.unusable) == ([want], ())


@pytest.mark.parametrize(
    "python", ["3", MINOR, f"{MINOR}.1", ">=3.9", ">=3.9,<3.99", f"={MINOR}", f" {MINOR}.4", f"={MINOR}.*"]
)
def test_a_python_that_the_image_has_is_no_difference(tmp_path: Path, python: str) -> None:
    (tmp_path / "conda.yaml").write_text(
        json.dumps({"dependencies": [f"python{'' if python[0] in '=> ' else '='}{python}"]})
    )
    environment.check(tmp_path)


@pytest.mark.parametrize("python", ["2", "3.6", ">=3.99", "<3", "four"])
def test_a_python_that_it_has_not_is_one(tmp_path: Path, python: str) -> None:
    (tmp_path / "python_env.yaml").write_text(f"python: '{python}'\n")
    with pytest.raises(Refused, match="wanted"):
        environment.check(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "scikit-learn>=0.1\t# of the run\n",
        "scikit-learn>=0.1 \\\n\t--hash=sha256:0\n",
        "\ufeffscikit-learn>=0.1\n",
        "scikit-learn>=0.1\r\n",
    ],
)
def test_lines_that_pip_takes(tmp_path: Path, text: str) -> None:
    (tmp_path / "requirements.txt").write_bytes(text.encode())
    assert [str(one) for one in stated.read(tmp_path).requirements] == ["scikit-learn>=0.1"]


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes("scikit-learn>=0.1\n".encode("utf-16"))
    with pytest.raises(Refused, match=r"requirements\.txt is not UTF-8"):
        stated.read(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "others", "nearest", "found"),
    [
        pytest.param("", ("3.99",), False, MINOR, id="nothing is stated"),
        pytest.param(f"{MINOR}.2", (MINOR, "3.99"), False, MINOR, id="the image's own"),
        pytest.param("3.99.1", ("3.98", "3.99"), False, "3.99", id="one elsewhere"),
        pytest.param("3.99.1", ("3.98",), False, "", id="none"),
        pytest.param(">=3.98.2,<3.100", ("3.97", "3.98", "3.99"), False, "3.99", id="a range, of which the newest"),
        pytest.param(">=3.100", ("3.99",), True, "", id="a range has no nearest one"),
        pytest.param("3.97.4", ("3.98", "3.99"), True, "3.98", id="the nearest"),
        pytest.param("3.97", ("3.98", "3.96"), True, "3.96", id="of two equally near the older"),
        pytest.param("3.2.1", ("3.99",), True, MINOR, id="the nearest is the image's own"),
        pytest.param("2.7.18", ("3.99",), True, "", id="another language"),
        pytest.param("three", ("3.99",), True, "", id="no version"),
    ],
)
def test_the_python_of_a_model_is_chosen(wanted: str, others: tuple[str, ...], nearest: bool, found: str) -> None:
    assert environment.python_for(wanted, others, nearest) == found
