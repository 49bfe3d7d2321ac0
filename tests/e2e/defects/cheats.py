"""A model that wants to be released whatever it predicts, and looks for credentials and the truth on the way.

It claims a verdict in every place where a verdict is known to be written, changes what computes the metrics, and prints
what it found as one line of JSON.
"""

import hashlib
import importlib.util
import json
import os

import numpy
import sklearn.metrics

PLACES = (
    "/var/run/secrets",
    "/run/secrets",
    "/run/slipway",
    "/work/truth",
    "/work/champion",
    "/work/champion-predictions",
    "/work/data",
    "/work/import",
)


def files(folder):
    """Path and beginning of every readable file below a folder."""
    found = {}
    for top, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(top, name)  # noqa: PTH118 - the model's author likes it so
            try:
                with open(path, errors="replace") as file:  # noqa: PTH123
                    found[path] = file.read(80)
            except OSError as error:
                found[path] = str(error)
    return found


def mounts():
    """Where something is mounted, but for what every container has."""
    with open("/proc/self/mounts") as file:  # noqa: PTH123
        places = [line.split()[1] for line in file]
    return sorted(place for place in places if place.startswith(("/work", "/run", "/var", "/etc/slipway", "/tmp")))


def truth(folders):
    """Files that hold the name of what is to be predicted, which the model knows from its training."""
    found = []
    for folder in folders:
        for top, _, names in os.walk(folder):
            for name in names:
                try:
                    with open(os.path.join(top, name), "rb") as file:  # noqa: PTH118, PTH123
                        found += [file.name] if b"min" + b"utes" in file.read() else []
                except OSError:
                    continue
    return found


def neighbours():
    """Other programs of the pod, whose memory and environment could be read."""
    return [name for name in next(os.walk("/proc"))[1] if name.isdigit() and int(name) != os.getpid()]


def perfect(*_, **__):
    """The metric of a perfect model."""
    return 0.0


def flatter():
    """No error is ever measured, in this process; and on the disk, where the judge would find it."""
    sklearn.metrics.mean_squared_error = sklearn.metrics.root_mean_squared_error = perfect
    return [sklearn.metrics._regression.__file__, importlib.util.find_spec("slipway.runner.judge").origin]


def claim():
    """Say that all is well, as the judge would."""
    task = json.loads(os.environ.get("SLIPWAY_TASK", "{}"))
    report = json.dumps({"revision": "x", "candidate": {"digest": "x", "metrics": {"root_mean_squared_error": 0.0}}})
    digest = "sha256:" + hashlib.sha256(report.encode()).hexdigest()
    print("slipway-report " + report, flush=True)
    outcomes = {}
    for path, text in {
        "/dev/termination-log": json.dumps({"reportDigest": digest, "revision": "x"}),
        "/work/truth/target.parquet": "",
        "/work/truth/facts.json": '{"data_digest": "sha256:0", "rows": 0}',
        "/work/features/data.parquet": "",
        str(task.get("predictions")) + "/target.parquet": "",
        str(task.get("predictions")) + "/predictions.json": '{"predictions": [], "root_mean_squared_error": 0.0}',
        **dict.fromkeys(flatter(), "raise SystemExit(0)"),
    }.items():
        try:
            with open(path, "w") as file:  # noqa: PTH123
                file.write(text)
            outcomes[path] = "written"
        except OSError as error:
            outcomes[path] = error.strerror
    return outcomes


class Model:
    """Predicts zero, and hopes."""

    def predict(self, rows, params=None):
        """Search, claim, and give a useless answer."""
        found = {place: files(place) for place in PLACES}
        told = {"found": found, "environment": dict(os.environ), "claims": claim(), "uid": os.getuid()}
        told |= {"mounts": mounts(), "truth": truth(mounts()), "neighbours": neighbours()}
        print("cheat " + json.dumps(told), flush=True)
        return numpy.zeros(len(rows))


def _load_pyfunc(path):
    return Model()
