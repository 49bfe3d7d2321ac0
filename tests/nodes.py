"""A cluster in memory whose nodes run the pods: what becomes of Jobs and Deployments, and what people look at."""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from slipway.adapters.cluster import DEPLOYMENT, JOB, Object
from slipway.api import names, tasks
from slipway.api.modelledger import ModelLedgerSpec
from slipway.api.report import PREFIX, Measured, Report, Summary
from slipway.resources import naming

from tests.fake_cluster import FakeCluster
from tests.worlds import ENTRY, digest

METRIC = "root_mean_squared_error"


class Nodes:
    """Nodes for the model `flights` in `ml`."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.cluster = FakeCluster(lambda: clock().strftime("%Y-%m-%dT%H:%M:%SZ"))
        self.bad: set[int] = set()  # versions that miss every gate
        self.down: set[int] = set()  # versions for whose pods there is no room
        self.dies: set[int] = set()  # versions whose server dies whenever it is started
        self.packages: dict[int, str] = {}  # digests of the packages of versions that the image cannot run
        self.pythons: dict[int, str] = {}  # of versions that state another one than the image's
        self.proven: set[tuple[int, str]] = set()  # version and digest that passed against the champion of that time

    def work(self) -> bool:
        """One step of everything that is not the operator; True if something happened."""
        before = self.cluster._version
        self.cluster.collect()
        for found in list(self.cluster.of(JOB)):
            self._work(found)
        for found in list(self.cluster.of(DEPLOYMENT)):
            self._serve(found)
        return self.cluster._version != before

    def _serve(self, found: Object) -> None:
        number = int(found["metadata"]["labels"][names.MODEL_VERSION])
        replicas, generation = found["spec"]["replicas"], found["metadata"]["generation"]
        status = dict(found.get("status", {}))
        if number not in self.down:
            status = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas)
        elif status.get("observedGeneration") != generation:
            status["updatedReplicas"] = 0
        self.cluster.put({**found, "status": {**status, "observedGeneration": generation}})

    def _work(self, job: Object) -> None:
        meta = job["metadata"]
        name = f"{meta['name']}-pod"
        number = naming.number(meta["labels"].get(names.MODEL_VERSION))
        if ("Pod", meta["namespace"], name) in self.cluster.objects or number is None:
            return
        spec = job["spec"]["template"]["spec"]
        main = spec["containers"][0]
        task = json.loads(next(one["value"] for one in main["env"] if one["name"] == tasks.VARIABLE))
        if meta["labels"][names.PURPOSE] == "validate":
            message, log = self._judged(number, tasks.JudgeTask.model_validate(task))
        elif meta["labels"][names.PURPOSE] == "environment":
            message, log = json.dumps(self._brought(number, tasks.EnvironmentTask.model_validate(task))), ""
        else:
            message, log = (
                json.dumps({"digest": _lies_at(number, task.get("source")), "sizeBytes": 1, "dataDigest": digest("d")}),
                "",
            )
        self.cluster.logs[name] = log
        failed = '"reason"' in message
        ended = {"exitCode": int(failed), "message": message, "finishedAt": self._clock().isoformat()}
        status = {
            "phase": "Failed" if failed else "Succeeded",
            "containerStatuses": [{"name": main["name"], "state": {"terminated": ended}}],
        }
        if number in self.dies and meta["labels"][names.PURPOSE] == "validate":
            self.cluster.logs[name] = "Segmentation fault"
            status = _at_work(main["name"], {**ended, "exitCode": 139, "message": ""})
        self.cluster.put(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "namespace": meta["namespace"],
                    "labels": meta["labels"],
                    "ownerReferences": [{"kind": "Job", "name": meta["name"], "uid": meta["uid"]}],
                },
                "spec": spec,
                "status": status,
            }
        )
        if status["phase"] in ("Succeeded", "Failed"):
            over = _complete(self._clock()) | {"type": "Failed" if failed else "Complete"}
            self.cluster.put({**job, "status": {"conditions": [over]}})

    def _brought(self, number: int, task: tasks.EnvironmentTask) -> dict[str, Any]:
        """As the program would answer for the Python that the version states."""
        python = self.pythons.get(number)
        if python is not None and python not in task.pythons and task.python_minor == "Exact":
            return {"reason": "EnvironmentNotReproducible", "message": f"python {python} wanted, 3.11 present"}
        if task.python is None and python in task.pythons:
            return {"python": python}
        return {"digest": self.packages.get(number), "packages": 3, "sizeBytes": 1, "python": task.python}

    def _judged(self, number: int, task: tasks.JudgeTask) -> tuple[str, str]:
        value = 99.0 if number in self.bad else 5.0
        if value < 12:
            self.proven.add((number, task.candidate_digest))
        champion = Measured(digest=task.champion_digest, metrics={METRIC: 9.0}) if task.champion_digest else None
        report = Report(
            revision=task.revision,
            candidate=Measured(digest=task.candidate_digest, metrics={METRIC: value}),
            champion=champion,
            rows=10,
            python="3.11",
        ).model_dump_json(by_alias=True)
        signed = "sha256:" + hashlib.sha256(report.encode()).hexdigest()
        return Summary(report_digest=signed, revision=task.revision).model_dump_json(by_alias=True), PREFIX + report

    # What people and tests look at.

    def ledger(self) -> ModelLedgerSpec | None:
        """The model's ledger."""
        found = self.cluster.objects.get(("ModelLedger", "ml", "flights"))
        return ModelLedgerSpec.model_validate(found["spec"]) if found else None

    def champion(self) -> int | None:
        """Who should have the traffic."""
        ledger = self.ledger()
        return ledger.champion if ledger else None

    def route(self) -> str:
        """Who has it."""
        found = self.cluster.objects.get(("Service", "ml", "flights"))
        return routed(found) if found else ""

    def condition(self, kind: str, name: str, which: str) -> Mapping[str, Any]:
        """A condition of an object; {} if it has none."""
        found = self.cluster.objects.get((kind, "ml", name), {})
        there = found.get("status", {}).get("conditions", [])
        return next((one for one in there if one["type"] == which), {})

    def edit(self, kind: str, name: str, **changes: Any) -> None:
        """Somebody changes top-level parts of an object's spec, or its annotations (None removes one)."""
        found = self.cluster.objects.get((kind, "ml", name))
        if found is None:
            return
        annotations = {f"slipway.dev/{k}": v for k, v in changes.pop("annotations", {}).items()}
        meta = found["metadata"]
        there = {**(meta.get("annotations") or {}), **annotations}
        self.cluster.put({**found, "metadata": {**meta, "annotations": there}, "spec": {**found["spec"], **changes}})


def _at_work(main: str, ended: Mapping[str, Any]) -> dict[str, Any]:
    """A pod whose server has died and is started again, while the main container waits for it."""
    server = {
        "name": tasks.SERVER,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": ended},
    }
    judge = {"name": main, "state": {"running": {}}}
    return {"phase": "Running", "initContainerStatuses": [server], "containerStatuses": [judge]}


def routed(service: Object) -> str:
    """Whom a model's Service selects: a version, "adopted", or "" if it selects nothing."""
    selector = service["spec"].get("selector") or {}
    return str(selector.get(names.MODEL_VERSION, naming.ADOPTED if selector else ""))


def digest_of(number: int) -> str:
    """The digest of a version's files."""
    return digest(chr(96 + number))


def _lies_at(number: int, source: str | None) -> str:
    """The digest of a version's files where they were imported from."""
    if source in (None, ENTRY.location):
        return digest_of(number)
    return "sha256:" + hashlib.sha256(f"{number} {source}".encode()).hexdigest()


def _complete(now: datetime) -> Object:
    return {"type": "Complete", "status": "True", "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
