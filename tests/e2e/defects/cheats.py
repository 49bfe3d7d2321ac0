"""A model that wants to be released whatever it predicts, and looks for credentials on the way.

It claims a verdict in every place where a verdict is known to be written, and prints what it found as one line of JSON.
"""

import hashlib
import json
import os

import numpy

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
        print("cheat " + json.dumps(told), flush=True)
        return numpy.zeros(len(rows))


def _load_pyfunc(path):
    return Model()
