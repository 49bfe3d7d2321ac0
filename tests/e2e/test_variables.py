"""A model that needs a key: it waits for the Secret by name, is proven with the test key, and serves with the other."""

from .conftest import World, places_of
from .place import model_version, poll

KEYS = {"production": "the key of production", "test": "a test key"}
KEY = {
    "name": "FLIGHTS_API_KEY",
    "secretKeyRef": {"name": "keys", "key": "production"},
    "validation": {"secretKeyRef": {"name": "keys", "key": "test"}},
}
NAME = "keyed"


def test_a_model_waits_for_its_secret_and_serves_with_it(world: World) -> None:
    with places_of(world.kube) as make:
        place = make("variables")

        def given(*names: str) -> None:
            data = {name: KEYS[name] for name in names}
            place.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": data})

        def said(kind: str) -> str:
            found = place.until(f"{NAME}-v1", kind, "False", "VariableNotFound", 180)
            return next(str(one["message"]) for one in found["status"]["conditions"] if one["type"] == kind)

        place.apply(world.declared(place, NAME, "needs_key", validation={}, serving={"pod": {"env": [KEY]}}))
        place.apply(model_version(NAME, 1))
        assert "There is no Secret 'keys' of this namespace" in said("Validated")
        given("test")
        assert "There is no key 'production' in the Secret 'keys'" in said("Released")
        given("test", "production")
        place.until_serving(f"{NAME}-v1", 180)
        answers = {"1": [float(len(KEYS["production"]))] * len(world.made.request["dataframe_split"]["data"])}
        with world.entrance(place, NAME) as way:
            poll("it answers with the key", 60, lambda: way.version(world.made.request, answers) == "1", place.told)
        told = str(place.every("registeredmodels.slipway.dev,modelversions.slipway.dev,events"))
        assert not [key for key in KEYS.values() if key in told]
