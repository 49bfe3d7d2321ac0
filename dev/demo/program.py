"""The demo from its first step to the table; it ends with a sentence at the first expectation that does not hold."""

import fcntl
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from . import install, story
from .console import Broken, Console
from .manifests import MLFLOW, MODEL, MODELS, SYSTEM
from .progress import Progress
from .traffic import entrance, offered

STEPS = (
    "Slipway, by its Helm chart",
    "MLflow in the cluster",
    "train, tune, register",
    "first version into production",
    "predictions over the Service",
    "MLflow's labels decide",
    "bad version is refused",
    "better version takes over",
    "MLflow's labels",
    "MLflow gone, pods deleted",
)


def run(console: Console) -> None:
    """The whole story."""
    installing, deploying, training, first, comparing, following, refusing, taking_over, labels, surviving = STEPS
    kube, images = install.cluster(), install.Images()
    with console.step(installing):
        install.install_slipway(kube, console, images)
        story.reset(kube, console)
    with console.step(deploying):
        install.deploy_mlflow(kube, console, images)
    with console.step(training):
        trained = install.train_versions(kube, console)
    play = story.Play(kube, console, images, trained, Progress(kube, console))
    told = play.happened
    told[installing] = "operator and artifact store are ready"
    told[deploying] = "registry and artifacts on a volume"
    told[training] = ", ".join(f"version {one}: error {error:.2f}" for one, error in trained.errors.items())
    with ExitStack() as stack:
        with console.step(first):
            url = story.promote_first(play)
            told[first] = url
        with console.step(comparing):
            way = stack.enter_context(entrance(kube, url))
            if not way.direct:
                console.say("the Service cannot be reached from here: a forwarded port, and the load client in a pod")
            told[comparing] = story.compare(play, way)
        with console.step(following):
            told[following] = story.follow(play)
        load = stack.enter_context(offered(kube, way, story.plan(play, way), images.runner))
        with console.step(refusing):
            told[refusing] = story.refuse(play, load)
        with console.step(taking_over):
            told[taking_over] = story.take_over(play, load)
        with console.step(labels):
            told[labels] = story.check_registry(play)
        with console.step(surviving):
            told[surviving] = story.survive(play, way)
    console.summary(list(told.items()))


@contextmanager
def alone() -> Iterator[None]:
    """Two demos on one cluster would reset each other's objects; the lock ends with the process that holds it."""
    lock = install.cache() / "demo" / "lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Broken(
                f"another demo is at work on this cluster ({lock} is locked): wait until it has ended"
            ) from error
        yield


def look(kubeconfig: str) -> str:
    """Where to look."""
    return f"""
where to look
  export KUBECONFIG={kubeconfig} PATH={install.cache() / "bin"}:$PATH
  kubectl get rmodel,mv -n {MODELS} -o wide
  kubectl describe mv -n {MODELS}                      # what was checked, and why one was refused
  kubectl describe rmodel {MODEL} -n {MODELS}
  kubectl get events -n {MODELS} --sort-by=.lastTimestamp
  kubectl logs -n {SYSTEM} -l app.kubernetes.io/component=operator --prefix --tail=50
  kubectl port-forward -n {MLFLOW} service/mlflow 5000:5000   # then http://127.0.0.1:5000
"""


def main() -> int:
    """Run it; say in one sentence what was expected and does not hold."""
    console = Console(len(STEPS))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what it started, as Ctrl-C does
    try:
        with alone():
            run(console)
    except Broken as broken:
        print(f"\nThe demo stopped: {broken}", file=sys.stderr, flush=True)
        print(look(str(install.cache() / "admin.kubeconfig")), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe demo was interrupted; run it again: it begins anew.", file=sys.stderr)
        return 130
    print(look(str(install.cache() / "admin.kubeconfig")))
    return 0
