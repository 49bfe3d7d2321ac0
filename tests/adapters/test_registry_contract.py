"""What every registry adapter promises: the one in memory and the real MLflow alike."""

import hashlib
import math
from dataclasses import dataclass, replace

import pytest
from slipway.adapters.errors import Conflict, NotFound, Rejected
from slipway.api.facts import Facts
from slipway.core.registry import Absent, Entry, Expected, Labels, Write

from tests.adapters.registry_shelf import MLMODEL, Shelf
from tests.memory_registry import Model

BOMB = b"a0: &a0 [x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 10)
)


@dataclass(frozen=True)
class Case:
    name: str
    because: str
    content: bytes


BROKEN = [
    Case("text", "a proxy or a person put something else there", b"hello"),
    Case("empty", "an upload broke off", b""),
    Case("list", "only a mapping has flavors", b"- flavors\n"),
    Case("no flavors", "nothing could load it", b"mlflow_version: 3.17.2\n"),
    Case("flavors are text", "they name loaders by key", b"flavors: sklearn\n"),
    Case("flavor with a path", "names become labels and file names", b"flavors: {../../etc: {}}\n"),
    Case("bytes", "it is not text at all", b"\x80\x81\x00\xff"),
    Case("half a document", "an upload broke off", b"flavors: {sklearn: {"),
    Case("two documents", "which one holds?", MLMODEL + b"---\n" + MLMODEL),
    Case("bomb", "ten lines become a billion nodes", MLMODEL + BOMB),
    Case(
        "merge bomb", "merge keys copy what they merge", MLMODEL + BOMB.replace(b"[*", b"[{<<: *").replace(b",", b"},{")
    ),
    Case("inside itself", "walking it never ends", MLMODEL + b"loop: &loop [*loop]\n"),
    Case("deep", "a recursive reader would overflow its stack", MLMODEL + b"deep: " + b"[" * 5000 + b"]" * 5000),
    Case("long", "reading it would stop everything else", MLMODEL + b"long: [" + b"0," * 500_000 + b"]"),
]


class TestVersion:
    async def test_the_server_tells_its_version(self, shelf: Shelf) -> None:
        assert await shelf.registry.server_version() == "3.17.2"


class TestResolve:
    async def test_an_entry_holds_what_was_logged(self, shelf: Shelf, name: str) -> None:
        model = shelf.log(Model(MLMODEL))
        version = shelf.register(name, model)
        entry = await shelf.registry.resolve(name, version)
        assert isinstance(entry, Entry)
        assert replace(entry, created=0) == Entry(
            name=name,
            version=1,
            source=f"models:/{model.model_id}",
            location=f"mlflow-artifacts:/0/models/{model.model_id}/artifacts",
            model_id=model.model_id,
            run_id=model.run_id,
            mlmodel_digest=f"sha256:{hashlib.sha256(MLMODEL).hexdigest()}",
            mlflow_version="3.10",
            flavors=("python_function", "sklearn"),
            size_bytes=2049,
        )

    async def test_a_model_may_say_little_of_itself(self, shelf: Shelf, name: str) -> None:
        entry = await shelf.registry.resolve(name, shelf.register(name, shelf.log(Model(b"flavors: {onnx: null}"))))
        assert isinstance(entry, Entry)
        assert (entry.size_bytes, entry.mlflow_version, entry.flavors) == (None, None, ("onnx",))

    async def test_resolving_again_gives_the_same(self, shelf: Shelf, name: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        assert await shelf.registry.resolve(name, version) == await shelf.registry.resolve(name, version)

    async def test_an_unknown_model_is_absent_and_the_message_names_it(self, shelf: Shelf, name: str) -> None:
        absent = await shelf.registry.resolve(name, 7)
        assert isinstance(absent, Absent) and absent.reason == "VersionNotFound"
        assert f'the model "{name}" is not registered' in absent.message
        assert "7" in absent.message and shelf.where in absent.message

    async def test_an_unknown_version_is_told_apart_from_an_unknown_model(self, shelf: Shelf, name: str) -> None:
        shelf.register(name, shelf.log(Model(MLMODEL)))
        absent = await shelf.registry.resolve(name, 7)
        assert isinstance(absent, Absent) and absent.reason == "VersionNotFound"
        assert f'version 7 of the model "{name}" is not registered' in absent.message and shelf.where in absent.message

    async def test_a_deleted_version_is_absent_and_its_number_stays_so(self, shelf: Shelf, name: str) -> None:
        model = shelf.log(Model(MLMODEL))
        shelf.register(name, model)
        shelf.delete(name, shelf.register(name, model))
        assert shelf.register(name, model) == 3
        for answer in (await shelf.registry.resolve(name, 2), await shelf.registry.labels(name, 2)):
            assert isinstance(answer, Absent) and answer.reason == "VersionNotFound"

    async def test_a_version_that_lost_its_files_misses_its_artifact(self, shelf: Shelf, name: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        shelf.lose_files(name, version)
        absent = await shelf.registry.resolve(name, version)
        assert isinstance(absent, Absent) and absent.reason == "ArtifactMissing"
        assert name in absent.message

    @pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
    async def test_a_file_that_mlflow_did_not_write_is_no_model(self, shelf: Shelf, name: str, case: Case) -> None:
        version = shelf.register(name, shelf.log(Model(case.content)))
        absent = await shelf.registry.resolve(name, version)
        assert isinstance(absent, Absent) and absent.reason == "ModelInvalid", case.because
        assert name in absent.message and len(absent.message) < 600

    async def test_an_alias_in_the_file_is_legal_as_long_as_it_is_small(self, shelf: Shelf, name: str) -> None:
        content = MLMODEL + b"one: &shared {a: 1}\ntwo: *shared\n"
        assert isinstance(await shelf.registry.resolve(name, shelf.register(name, shelf.log(Model(content)))), Entry)


class TestLabels:
    async def labels(self, shelf: Shelf, name: str, version: int) -> Labels:
        labels = await shelf.registry.labels(name, version)
        assert isinstance(labels, Labels)
        return labels

    async def test_a_new_version_has_none(self, shelf: Shelf, name: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        assert await shelf.registry.labels(name, version) == Labels("None", (), {})

    async def test_what_is_written_is_read(self, shelf: Shelf, name: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        await shelf.registry.write(name, Write(version, "Staging", alias="challenger", tags={"deploy/status": "ok"}))
        await shelf.registry.write(name, Write(version, alias="ä-second_1"))
        assert await self.labels(shelf, name, version) == Labels(
            "Staging", ("challenger", "ä-second_1"), {"deploy/status": "ok"}
        )

    async def test_what_a_write_does_not_name_is_left_alone(self, shelf: Shelf, name: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        await shelf.registry.write(name, Write(version, "Staging", alias="challenger", tags={"a": "1", "b": "2"}))
        await shelf.registry.write(name, Write(version, tags={"b": "3"}))
        await shelf.registry.write(name, Write(version))
        assert await self.labels(shelf, name, version) == Labels("Staging", ("challenger",), {"a": "1", "b": "3"})

    async def test_writing_twice_is_writing_once(self, shelf: Shelf, name: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        write = Write(version, "production", alias="champion", tags={"empty": ""})
        await shelf.registry.write(name, write)
        await shelf.registry.write(name, write)
        assert await self.labels(shelf, name, version) == Labels("Production", ("champion",), {"empty": ""})

    async def test_an_alias_moves(self, shelf: Shelf, name: str) -> None:
        model = shelf.log(Model(MLMODEL))
        one, two = shelf.register(name, model), shelf.register(name, model)
        await shelf.registry.write(name, Write(one, alias="champion"))
        await shelf.registry.write(name, Write(two, alias="champion"))
        assert (await self.labels(shelf, name, one)).aliases == ()
        assert (await self.labels(shelf, name, two)).aliases == ("champion",)

    async def test_who_enters_a_stage_leaves_the_others_there(self, shelf: Shelf, name: str) -> None:
        model = shelf.log(Model(MLMODEL))
        one, two = shelf.register(name, model), shelf.register(name, model)
        for version in (one, two):
            await shelf.registry.write(name, Write(version, "Production"))
        assert [(await self.labels(shelf, name, version)).stage for version in (one, two)] == ["Production"] * 2

    async def test_those_that_are_named_are_archived_from_that_stage_only(self, shelf: Shelf, name: str) -> None:
        model = shelf.log(Model(MLMODEL))
        stages = ("Production", "Staging", "Production", "None")
        there = [(shelf.register(name, model), stage) for stage in stages]
        for version, stage in there:
            await shelf.registry.write(name, Write(version, stage))
        new, gone = shelf.register(name, model), shelf.register(name, model)
        shelf.delete(name, gone)
        numbers = (there[0][0], there[1][0], there[3][0], gone)
        for _ in range(2):
            await shelf.registry.write(name, Write(new, "Production", archive=numbers, tags={"a": "1"}))
        left = [(await self.labels(shelf, name, version)).stage for version, _ in there]
        assert left == ["Archived", "Staging", "Production", "None"]
        assert await self.labels(shelf, name, new) == Labels("Production", (), {"a": "1"})

    async def test_those_that_are_named_go_where_the_write_says(self, shelf: Shelf, name: str) -> None:
        model = shelf.log(Model(MLMODEL))
        one, two = shelf.register(name, model), shelf.register(name, model)
        await shelf.registry.write(name, Write(one, "Production"))
        await shelf.registry.write(name, Write(two, "Production", archive=(one,), aside="None"))
        assert [(await self.labels(shelf, name, version)).stage for version in (one, two)] == ["None", "Production"]

    async def test_every_legal_tag_arrives_as_it_is(self, shelf: Shelf, name: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        tags = {"a.b-c_d/e f:g": 'é "quoted" \n {json: 1} 中 <&>%00', "ü" * 250: "", "z": "x" * 100_000}
        await shelf.registry.write(name, Write(version, tags=tags))
        assert (await self.labels(shelf, name, version)).tags == tags

    @pytest.mark.parametrize("key", ["a@b", "a" * 251, ""])
    async def test_an_illegal_tag_is_rejected_by_name(self, shelf: Shelf, name: str, key: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        with pytest.raises(Rejected, match="tag"):
            await shelf.registry.write(name, Write(version, tags={key: "x"}))

    @pytest.mark.parametrize("alias", ["v2", "V2", "latest", "a b", "a/b"])
    async def test_a_reserved_or_illegal_alias_is_rejected_by_name(self, shelf: Shelf, name: str, alias: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        with pytest.raises(Rejected, match=f'the alias "{alias}"'):
            await shelf.registry.write(name, Write(version, alias=alias))
        assert (await self.labels(shelf, name, version)).aliases == ()

    async def test_an_unknown_stage_is_rejected_by_name(self, shelf: Shelf, name: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        with pytest.raises(Rejected, match="Shadow"):
            await shelf.registry.write(name, Write(version, "Shadow"))

    async def test_what_is_refused_does_not_hold_the_rest_up(self, shelf: Shelf, name: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        with pytest.raises(Rejected, match="Shadow"):
            await shelf.registry.write(name, Write(version, "Shadow", alias="champion", tags={"a@b": "x", "c": "1"}))
        assert await self.labels(shelf, name, version) == Labels("None", ("champion",), {"c": "1"})

    async def test_an_alias_is_taken_away_and_once_it_is_gone_that_is_no_matter(self, shelf: Shelf, name: str) -> None:
        model = shelf.log(Model(MLMODEL))
        one, two = shelf.register(name, model), shelf.register(name, model)
        await shelf.registry.write(name, Write(one, alias="champion"))
        await shelf.registry.write(name, Write(two, without="champion"))
        assert (await self.labels(shelf, name, one)).aliases == ("champion",), "it is not that version's"
        for _ in range(2):
            await shelf.registry.write(name, Write(one, without="champion", tags={"a": "1"}))
        assert await self.labels(shelf, name, one) == Labels("None", (), {"a": "1"})

    @pytest.mark.parametrize(
        ("expected", "moved"),
        [
            pytest.param(Expected("Staging", ("best",), None), False, id="as it is"),
            pytest.param(Expected("Staging", ("best", "worst"), None), False, id="an alias went elsewhere"),
            pytest.param(Expected("None", ("best",), None), True, id="the stage was moved"),
            pytest.param(Expected("Staging", (), None), True, id="it was given an alias"),
            pytest.param(Expected("Staging", ("best",), 1), True, id="the alias was taken from who had it"),
        ],
    )
    async def test_what_somebody_moved_meanwhile_is_not_overwritten(
        self, shelf: Shelf, name: str, expected: Expected, moved: bool
    ) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        await shelf.registry.write(name, Write(version, "Staging", alias="best"))
        write = Write(version, "Production", alias="champion", tags={"a": "1"}, expected=expected)
        if not moved:
            await shelf.registry.write(name, write)
            await shelf.registry.write(name, write)  # nothing is left to be moved
            assert await self.labels(shelf, name, version) == Labels("Production", ("best", "champion"), {"a": "1"})
            return
        with pytest.raises(Conflict, match=f"version {version}"):
            await shelf.registry.write(name, write)
        assert await self.labels(shelf, name, version) == Labels("Staging", ("best",), {}), (
            "tags tell of what was not done"
        )

    async def test_an_alias_that_went_to_another_version_meanwhile_is_not_taken_back(
        self, shelf: Shelf, name: str
    ) -> None:
        model = shelf.log(Model(MLMODEL))
        one, two = shelf.register(name, model), shelf.register(name, model)
        await shelf.registry.write(name, Write(two, alias="champion"))
        with pytest.raises(Conflict):
            await shelf.registry.write(name, Write(one, alias="champion", expected=Expected("None", (), None)))
        await shelf.registry.write(name, Write(one, alias="champion", expected=Expected("None", (), two)))
        assert (await self.labels(shelf, name, one)).aliases == ("champion",)

    async def test_a_version_that_is_gone_cannot_be_labelled(self, shelf: Shelf, name: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        shelf.delete(name, version)
        with pytest.raises(NotFound, match=f"version {version}"):
            await shelf.registry.write(name, Write(version, "Archived"))

    async def test_what_another_version_of_its_number_was_to_get_is_not_written(self, shelf: Shelf, name: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        made = (await self.labels(shelf, name, version)).created
        with pytest.raises(NotFound, match="is another one"):
            await shelf.registry.write(name, Write(version, "Archived", created=made + 1))
        assert (await self.labels(shelf, name, version)).stage == "None"
        await shelf.registry.write(name, Write(version, "Archived", created=made))
        assert (await self.labels(shelf, name, version)).stage == "Archived"

    async def test_when_it_was_registered_is_the_same_wherever_it_is_told(self, shelf: Shelf, name: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        entry = await shelf.registry.resolve(name, version)
        await shelf.registry.write(name, Write(version, "Staging"))
        rows = (await shelf.registry.versions(frozenset({name}))).versions
        assert isinstance(entry, Entry) and entry.created > 0
        assert {entry.created} == {one.created for one in rows} == {(await self.labels(shelf, name, version)).created}


class TestKeep:
    async def test_a_document_lies_in_the_run_and_the_newest_stays(self, shelf: Shelf, run_id: str) -> None:
        for content in (b"{}", b'{"passed": true}'):
            await shelf.registry.keep(run_id, "slipway/report 100%.json", content)
        assert shelf.kept(run_id, "slipway/report 100%.json") == b'{"passed": true}'

    @pytest.mark.parametrize("path", ["", "../escape", "/etc/passwd", "a//b", "a/./b"])
    async def test_no_path_leads_out_of_the_run(self, shelf: Shelf, run_id: str, path: str) -> None:
        with pytest.raises(Rejected, match="no path inside"):
            await shelf.registry.keep(run_id, path, b"x")

    async def test_a_run_must_exist(self, shelf: Shelf) -> None:
        with pytest.raises(NotFound, match="ffff"):
            await shelf.registry.keep("ffff", "report.json", b"x")


SIGNED = b"""\
flavors:
  python_function: {loader_module: mlflow.sklearn, python_version: 3.11.7}
signature:
  inputs: '[{"type": "double", "name": "distance", "required": true}, {"type": "long", "name": "day", "required": false},
    {"type": "array", "items": {"type": "double"}, "name": "winds", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]'
"""
REQUIREMENTS = b"""\
--extra-index-url https://me:hush@packages.example.com/simple
mlflow==3.17.2
scikit_learn[alldeps] >= 1.9 ; python_version > "3.8"
# a remark
own @ https://packages.example.com/own.whl?token=hush
"""


class TestFacts:
    async def facts(self, shelf: Shelf, name: str, model: Model) -> Facts:
        found = await shelf.registry.facts(name, shelf.register(name, shelf.log(model)))
        assert isinstance(found, Facts)
        return found

    async def test_they_hold_what_the_run_logged(self, shelf: Shelf, name: str) -> None:
        tags = {"mlflow.source.git.commit": "c" * 40, "mlflow.user": "ada", "team": "air"}
        found = await self.facts(
            shelf, name, Model(MLMODEL, params={"max_depth": "6"}, metrics={"rmse": 5.25, "auc": math.nan}, tags=tags)
        )
        assert (found.params, found.metrics) == ({"max_depth": "6"}, {"auc": "nan", "rmse": "5.25"})
        assert (found.commit, found.trained_by, found.tags, found.data) == ("c" * 40, "ada", {"team": "air"}, {})

    async def test_they_hold_what_the_files_say(self, shelf: Shelf, name: str) -> None:
        found = await self.facts(shelf, name, Model(SIGNED, requirements=REQUIREMENTS))
        winds = '{"items":{"type":"double"},"type":"array"}'
        assert found.inputs == {"day": "long?", "distance": "double", "winds": winds}
        assert found.outputs == {"0": "float64[-1]"}
        assert found.packages == {
            "mlflow": "==3.17.2",
            "own": "@ https://packages.example.com/own.whl",
            "scikit-learn": "[alldeps]>=1.9",
        }
        assert found.files == {"MLmodel": "file", "requirements.txt": "file"}
        assert (found.python, found.unread) == ("3.11.7", ())

    async def test_what_is_not_there_is_not_known(self, shelf: Shelf, name: str) -> None:
        found = await self.facts(shelf, name, Model(b"flavors: {onnx: null}"))
        assert (found.inputs, found.packages, found.python) == (None, None, None)
        assert found.unread == ("requirements",)

    async def test_of_a_version_without_files_the_run_is_known(self, shelf: Shelf, name: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL, params={"a": "1"})))
        shelf.lose_files(name, version)
        found = await shelf.registry.facts(name, version)
        assert isinstance(found, Facts) and (found.params, found.inputs) == ({"a": "1"}, None)

    @pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
    async def test_a_file_that_mlflow_did_not_write_says_nothing(self, shelf: Shelf, name: str, case: Case) -> None:
        found = await self.facts(shelf, name, Model(case.content, requirements=b"\x80\x81 == \xff\n" * 99_999))
        assert (found.inputs, found.python) in ((None, None), (None, "3.11.7")), case.because

    async def test_an_unknown_version_has_none(self, shelf: Shelf, name: str) -> None:
        absent = await shelf.registry.facts(name, 7)
        assert isinstance(absent, Absent) and absent.reason == "VersionNotFound"


class TestDescription:
    LINE = "**Slipway test/ml:** serving since today \\[1\\]"

    async def test_our_line_is_written_once_and_what_people_wrote_stays(self, shelf: Shelf, name: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        shelf.describe(name, version, "Tuned by Ada.\n")
        for line in ("**Slipway test/ml:** refused", self.LINE, self.LINE):
            await shelf.registry.write(name, Write(version, tags={"a": "1"}, line=line))
        assert shelf.description(name, version) == f"Tuned by Ada.\n\n{self.LINE}"
        shelf.describe(name, version, f"{self.LINE}\nTuned by Bob.")
        await shelf.registry.write(name, Write(version, line="**Slipway test/ml:** replaced"))
        assert shelf.description(name, version) == "**Slipway test/ml:** replaced\nTuned by Bob."
        found = await shelf.registry.labels(name, version)
        assert isinstance(found, Labels) and found.lines == ("**Slipway test/ml:** replaced",)

    async def test_a_sweep_tells_of_it_and_nothing_was_moved_by_it(self, shelf: Shelf, name: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        await shelf.registry.write(name, Write(version, "Staging"))
        (before,) = (await shelf.registry.versions(frozenset({name}))).versions
        elsewhere = "**Slipway west/ml:** replaced"
        for line in ("**Slipway test/ml:** refused", elsewhere, self.LINE):
            await shelf.registry.write(name, Write(version, line=line))
        (after,) = (await shelf.registry.versions(frozenset({name}))).versions
        assert ({*after.lines}, after.moved) == ({self.LINE, elsewhere}, before.moved)
        await shelf.registry.write(name, Write(version, "Production"))
        (moved,) = (await shelf.registry.versions(frozenset({name}))).versions
        assert moved.moved > before.moved

    async def test_what_somebody_moved_meanwhile_is_not_described(self, shelf: Shelf, name: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        await shelf.registry.write(name, Write(version, "Production"))
        expected = Expected("Staging", (), None)
        with pytest.raises(Conflict):
            await shelf.registry.write(name, Write(version, line=self.LINE, expected=expected))
        assert shelf.description(name, version) == ""

    async def test_a_description_without_room_is_said_and_holds_no_label_up(self, shelf: Shelf, name: str) -> None:
        version = shelf.register(name, shelf.log(Model(MLMODEL)))
        shelf.describe(name, version, "x" * 4990)
        with pytest.raises(Rejected, match="no room"):
            await shelf.registry.write(name, Write(version, "Staging", line=self.LINE))
        found = await shelf.registry.labels(name, version)
        assert isinstance(found, Labels) and found.stage == "Staging"
        assert shelf.description(name, version) == "x" * 4990
