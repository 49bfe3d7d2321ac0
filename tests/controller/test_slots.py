"""How many Jobs run at the same time: first come, first served, within the limits of the pool and of all."""

from collections.abc import Mapping

from slipway.controller.queue import Key
from slipway.controller.slots import Slots

CPU, GPU, IMPORT = "validate cpu", "validate gpu", "import"


def key(name: str) -> Key:
    return Key("version", "ml", name)


def slots(running: Mapping[str, set[Key]] | None = None, validations: int = 10, **limits: int) -> Slots:
    found = {IMPORT: limits.get("imports", 2), CPU: limits.get("cpu", 2), GPU: limits.get("gpu", 1)}
    return Slots(found, validations, lambda: running or {})


def take(of: Slots, name: str, queue: str = IMPORT) -> bool:
    """A pass that wants a Job: whether it may make one."""
    admitted = of.look(key(name))[queue].admitted
    of.settle(key(name), (queue,))
    return admitted


def test_as_many_as_the_limit_run_and_the_others_know_their_place() -> None:
    of = slots()
    assert [take(of, name) for name in "abcd"] == [True, True, False, False]
    assert [of.look(key(name))[IMPORT].ahead for name in "cd"] == [0, 1]
    assert of.counts()[IMPORT] == (2, 2)


def test_who_leaves_makes_room_for_the_one_that_came_first() -> None:
    of = slots()
    for name in "abcd":
        take(of, name)
    assert of.settle(key("a"), ()) == (key("c"),)
    assert not take(of, "d"), "d does not overtake c"
    assert take(of, "c")


def test_a_job_that_runs_holds_its_place_whoever_made_it() -> None:
    of = slots({IMPORT: {key("a"), key("b")}})
    assert not take(of, "c")
    assert take(of, "a"), "its own Job is no reason to wait"


def test_a_full_pool_keeps_nobody_of_another_pool_waiting() -> None:
    of = slots()
    assert [take(of, name, GPU) for name in "ab"] == [True, False]
    assert take(of, "c", CPU)


def test_all_pools_together_have_a_limit_too() -> None:
    of = slots(validations=2)
    assert [take(of, "a", GPU), take(of, "b", CPU), take(of, "c", CPU)] == [True, True, False]
    assert take(of, "d"), "an import is no validation"


def test_a_version_that_is_deleted_frees_its_place() -> None:
    of = slots(imports=1)
    take(of, "a")
    take(of, "b")
    assert of.leave(key("a")) == (key("b"),)
