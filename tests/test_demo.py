"""The demo: the commands a user types, held against the truth, in a folder of its own."""

import io
import json
import shlex
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from starmuster.cli import main
from starmuster.cli.demo import JUDGED, MARK, MOST_SIGMA, Recovery, clear, run_demo
from starmuster.cli.session import SESSION
from starmuster.errors import UsageError
from starmuster.ingest.synthetic import demo_plan
from starmuster.warehouse.store import Warehouse

SMALL = replace(
    demo_plan(),
    n_x_pix=300,
    n_y_pix=220,
    n_light=30,
    cadence_s=420.0,
    n_star=40,
    n_comparison=14,
    target_flux_e_per_s=6000.0,
    n_hot_pixel=20,
)


@dataclass(frozen=True)
class Demo:
    """A demo's folder, and what it printed and said."""

    folder: Path
    out: str
    told: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Demo:
    """A demo in a folder that did not exist, all of it recovered."""
    folder = tmp_path_factory.mktemp("demo") / "made"
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as told:
        assert run_demo(folder, plan=SMALL) == 0
    return Demo(folder, out.getvalue(), told.getvalue())


@pytest.mark.long
def test_the_demo_types_the_commands_and_recovers_what_was_injected(demo):
    out, told = demo.out, demo.told
    fields = [line for line in told.splitlines() if line.startswith("field")]
    assert len(set(fields)) == len(fields) > 0
    typed = [shlex.split(line[2:]) for line in out.splitlines() if line.startswith("$ ")]
    verbs = [words[3] if words[1] == "--warehouse" else words[1] for words in typed]
    assert verbs == ["init", "ingest", "import", "report"]
    for quantity in JUDGED:
        (line,) = [line for line in out.splitlines() if line.split()[:1] == [quantity]][-1:]
        assert abs(float(line.split()[-2])) <= MOST_SIGMA, line
    page = next(Path(line.split()[-1]) for line in out.splitlines() if line.endswith(".html"))
    assert "what was injected" in page.read_text(encoding="utf-8")
    noted = (
        Warehouse(demo.folder / "warehouse").sql("from run order by run_id")["command"].to_list()
    )
    assert [shlex.split(line)[3] for line in noted][:2] == ["ingest", "import"]


@pytest.mark.long
def test_what_the_demo_suggests_next_works(demo, capsys):
    for line in _suggested(demo.folder):
        assert main([*shlex.split(line)[1:], "--json"]) == 0
        assert json.loads(capsys.readouterr().out)


def _suggested(folder: Path) -> list[str]:
    from starmuster.cli.demo import QUERIES

    place = shlex.quote(str(folder / "warehouse"))
    return [f'starmuster --warehouse {place} sql "{query}"' for query in QUERIES]


@pytest.mark.long
def test_a_demo_made_anew_answers_with_one_document_and_owns_up_to_what_it_missed(
    tmp_path, capsys, monkeypatch
):
    folder, plan = tmp_path / "made", replace(SMALL, n_light=6)
    assert run_demo(folder, plan=plan) == 1
    capsys.readouterr()
    monkeypatch.setattr(SESSION, "as_json", True)
    assert run_demo(folder, plan=plan) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["is_recovered"] is False
    assert document["report"]["verdict"] != "transit"
    assert [item["quantity"] for item in document["recovery"]] == list(JUDGED)
    own = {folder / name for name in json.loads((folder / MARK).read_bytes())["files"]}
    assert {path for path in own if path.suffix == ".fits"} == set(
        (folder / "frames").rglob("*.fits")
    )


@pytest.mark.parametrize(
    ("recovered", "error", "is_good"),
    [(0.13, 0.01, True), (0.16, 0.01, False), (None, None, False), (0.12, None, False)],
)
def test_only_a_recovery_within_four_sigma_is_good(recovered, error, is_good):
    assert Recovery("radius_ratio", 0.115, recovered, error).is_good is is_good


def test_the_demo_touches_no_folder_that_is_not_its_own(tmp_path):
    mine = tmp_path / "mine"
    (mine / "frames").mkdir(parents=True)
    (mine / "frames" / "a.fits").write_bytes(b"precious")
    with pytest.raises(UsageError, match="not by a demo"):
        clear(mine)
    (mine / MARK).write_text('{"files": ["frames/b.fits"]}', encoding="utf-8")
    (mine / "frames" / "b.fits").touch()
    with pytest.raises(UsageError, match=r"a\.fits"):
        clear(mine)
    assert (mine / "frames" / "a.fits").read_bytes() == b"precious"
    assert (mine / "frames" / "b.fits").exists()
    file = tmp_path / "file"
    file.write_bytes(b"precious")
    with pytest.raises(UsageError):
        clear(file)
    clear(tmp_path / "absent")


def test_a_demo_warehouse_with_frames_from_elsewhere_is_kept(tmp_path, new_warehouse, fill):
    (tmp_path / MARK).write_text('{"files": []}', encoding="utf-8")
    warehouse = new_warehouse(tmp_path / "warehouse")
    mine = fill("path", [{"path": "/data/my-night/1.fits", "frame_id": 1}])
    with warehouse.writing() as con:
        con.register("mine", mine)
        con.execute("insert into path by name from mine")
    with pytest.raises(UsageError, match="my-night"):
        clear(tmp_path)
    assert warehouse.database.exists()
    with warehouse.writing() as con:
        con.execute("delete from path")
    clear(tmp_path)
    assert not warehouse.folder.exists()


def test_a_demo_that_was_stopped_can_be_made_again(tmp_path):
    (tmp_path / MARK).write_text('{"files": []}', encoding="utf-8")
    (tmp_path / ".frames" / "LIGHT").mkdir(parents=True)
    (tmp_path / ".frames" / "LIGHT" / "half.fits").touch()
    clear(tmp_path)
    assert not (tmp_path / ".frames").exists()
