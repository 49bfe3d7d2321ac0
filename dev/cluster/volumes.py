"""Storage: a default class with folders of this machine as volumes, made available again once they are released."""

import shutil
from pathlib import Path
from typing import Any

from client import Client
from paths import STATE
from say import say

CLASS = "standard"
COUNT, SIZE = 24, "10Gi"
_FOLDER = STATE / "volumes"


def ensure(client: Client) -> None:
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Retain",
    }
    client.create("/apis/storage.k8s.io/v1/storageclasses", storage_class)
    present = {item["metadata"]["name"] for item in _volumes(client)}
    for number in range(COUNT):
        name = f"slipway-{number:02}"
        folder = _FOLDER / name
        folder.mkdir(parents=True, exist_ok=True)
        # The kubelet gives no group to a hostPath, and pods run as whoever they like.
        folder.chmod(0o777)
        if name not in present:
            client.create("/api/v1/persistentvolumes", _volume(name, folder))
    recycle(client)


def _volume(name: str, folder: Path) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": SIZE},
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": CLASS,
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }


def _volumes(client: Client) -> list[dict[str, Any]]:
    return client.get("/api/v1/persistentvolumes")["items"]


def recycle(client: Client) -> None:
    """Empty the volumes whose claim is gone, and let them be claimed again."""
    released = [
        item["metadata"]["name"]
        for item in _volumes(client)
        if item["status"].get("phase") == "Released" and item["metadata"]["name"].startswith("slipway-")
    ]
    for name in released:
        for entry in (_FOLDER / name).iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        client.patch(f"/api/v1/persistentvolumes/{name}", [{"op": "remove", "path": "/spec/claimRef"}])
    if released:
        say(f"volumes available again: {len(released)}")
