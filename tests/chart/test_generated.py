"""What is generated from the resource types is current, and a type that says too little is not let through."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from dev.generate.schema import Incomplete, structural

ROOT = Path(__file__).resolve().parents[2]


def test_generated_files_are_current() -> None:
    words = [sys.executable, str(ROOT / "dev" / "generate"), "--check"]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd="/", timeout=60)
    assert done.returncode == 0, done.stderr


class Inner(BaseModel):
    """A thing inside."""

    bound: Annotated[int | None, Field(gt=0, description="Above zero.")] = None
    word: Annotated[str, Field(max_length=5, description="A word.")] = "five"


class Outer(BaseModel):
    """A thing."""

    plain: Annotated[Inner, Field(description="Said here.")] = Inner()
    other: Inner | None = Inner(word="other")
    keys: Annotated[
        dict[Annotated[str, Field(max_length=3)], Annotated[str, Field(max_length=4)]],
        Field(default_factory=dict, max_length=2, description="A map."),
    ]


def test_the_schema_is_structural() -> None:
    inner = {
        "bound": {"description": "Above zero.", "type": "integer", "minimum": 0, "exclusiveMinimum": True},
        "word": {"description": "A word.", "type": "string", "default": "five", "maxLength": 5},
    }
    rule = {"rule": "self.all(key, key.size() <= 3)", "message": "a key has at most 3 characters"}
    assert structural(Outer, "spec", defaults=True) == {
        "description": "A thing.",
        "type": "object",
        "properties": {
            "plain": {"description": "Said here.", "type": "object", "default": {}, "properties": inner},
            "other": {
                "description": "A thing inside.",
                "type": "object",
                "default": {"word": "other"},
                "properties": inner,
            },
            "keys": {
                "description": "A map.",
                "type": "object",
                "maxProperties": 2,
                "x-kubernetes-validations": [rule],
                "additionalProperties": {"type": "string", "maxLength": 4},
            },
        },
    }


def test_without_defaults_nothing_is_filled_in() -> None:
    assert "default" not in str(structural(Outer, "status", defaults=False))


class Silent(BaseModel):
    """Says nothing of its field."""

    word: Annotated[str, Field(max_length=5)]


class Boundless(BaseModel):
    """Has no bounds."""

    word: Annotated[str, Field(description="A word.")]
    words: Annotated[tuple[Annotated[str, Field(max_length=5)], ...], Field(description="Words.")]
    keys: Annotated[dict[str, Annotated[str, Field(max_length=5)]], Field(description="Keys.")]


class Undecided(BaseModel):
    """Is one of two types."""

    either: Annotated[int | bool, Field(description="Which?")]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Silent, ["spec.word: no description"]),
        (Boundless, ["spec.word: no maxLength", "spec.words: no maxItems", "spec.keys: no maxProperties"]),
        (Undecided, ["several types"]),
    ],
)
def test_what_is_incomplete_is_named(kind: type[BaseModel], words: list[str]) -> None:
    with pytest.raises(Incomplete) as caught:
        structural(kind, "spec", defaults=True)
    assert all(word in str(caught.value) for word in words)
