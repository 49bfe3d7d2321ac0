"""Which stage the registry's labels stand for, by a ModelRegistry's mapping."""

from typing import Literal

from ..api.modelregistry import Stages
from ..api.modelversion import Stage
from .registry import Labels

By = Literal["Stage", "Alias", "Both"]
ARCHIVED = "Archived"  # the stage to which MLflow by itself moves what another version pushes out


def stage_shown(labels: Labels, stages: Stages) -> Stage:
    """The stage that labels stand for, if they are no request: an alias may be left over on what is archived."""
    if stands_for(labels.stage, stages.archived.stage):
        return "Archived"
    if labelled_by(labels, stages):
        return "Production"
    if stands_for(labels.stage, stages.staging.stage) or stages.staging.alias in labels.aliases:
        return "Staging"
    return "None"


def in_production(labels: Labels, stages: Stages) -> bool:
    """Whether the registry has the version in the stage of Production, whatever its aliases say."""
    return stands_for(labels.stage, stages.production.stage)


def is_aside(labels: Labels, stages: Stages) -> bool:
    """Whether it is in the stage of what was replaced; MLflow's own, where none is mapped."""
    mapped = stages.archived.stage
    return labels.stage == (mapped if mapped not in (None, "None") else ARCHIVED)


def labelled_by(labels: Labels, stages: Stages) -> By | None:
    """By which of its labels it is in Production."""
    stage, alias = stands_for(labels.stage, stages.production.stage), stages.production.alias in labels.aliases
    return "Both" if stage and alias else "Stage" if stage else "Alias" if alias else None


def stands_for(stage: str, mapped: str | None) -> bool:
    """Whether a stage is the one that is mapped; no stage is no label."""
    return mapped not in (None, "None") and stage == mapped
