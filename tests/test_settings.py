"""What the operator is told, and what it answers to settings that it cannot use."""

from pathlib import Path

import pytest
from slipway.settings import Settings, SettingsError, load


def loaded(folder: Path, text: str) -> Settings:
    (folder / "config.yaml").write_text(text)
    return load({"SLIPWAY_CONFIG": str(folder / "config.yaml")})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "clusterName is not set; give this cluster a name of its own"),
        ("clusterName: ''", "clusterName is not set; give this cluster a name of its own"),
        ("clusterName: prod\nconcurrency: 0", "concurrency: "),
        ("clusterName: prod\nconcurency: 1", "unknown settings: concurency"),
        ("clusterName: prod\ndata: {deniedCidrs: [10.0.0.0/33]}", "data.deniedCidrs.0: "),
        ("clusterName: prod\ndata: {deniedCidrs: [10.0.0.1/8]}", "data.deniedCidrs.0: "),
        ("- prod", "holds no mapping"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(tmp_path, text)
    assert says in str(refused.value)


def test_without_a_file_the_name_of_the_cluster_is_missing() -> None:
    with pytest.raises(SettingsError, match="clusterName is not set"):
        load({})


def test_the_name_of_the_cluster_is_all_that_must_be_said(tmp_path: Path) -> None:
    found = loaded(tmp_path, "clusterName: prod")
    assert (found.cluster_name, found.namespace, found.data.allowed_hosts) == ("prod", "slipway-system", ())
