"""What a worker leaves is read back as it was, or refused."""

import polars as pl
import pytest

from starmuster.errors import DiskFullError, PackageError
from starmuster.warehouse import packages
from starmuster.warehouse.parts import read_part, write_part

TABLES = {
    "product": pl.DataFrame(
        {"frame_id": [1, 2], "step": ["photometry"] * 2, "recipe": ["a", "é"], "state": "done"}
    ),
    "registration": pl.DataFrame(
        {"frame_id": [1], "x_coefficient": [[0.5, 1.0]], "n_star": [3], "rms_pix": [None]}
    ),
    "wcs_residual": pl.DataFrame(schema={"frame_id": pl.Int32}),
}


def complete(tables, fill):
    return {name: fill(name, rows.to_dicts()) for name, rows in tables.items()}


def test_a_part_holds_the_rows_in_the_columns_of_their_tables(tmp_path, fill):
    given = complete(TABLES, fill)
    given["wcs_residual"] = given["wcs_residual"].select("frame_id", "x_pix")
    path = write_part(tmp_path / "new" / "a.part", given)
    found = read_part(path)
    assert list(found) == list(TABLES)
    for name, rows in found.items():
        assert rows.schema == packages.table_schemas()[name]
        assert rows.height == TABLES[name].height
    assert found["product"]["recipe"].to_list() == ["a", "é"]
    assert found["registration"]["x_coefficient"].to_list() == [[0.5, 1.0]]
    assert [file.name for file in path.parent.iterdir()] == ["a.part"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_part_is_refused(tmp_path, fill, damage):
    path = write_part(tmp_path / "a.part", complete(TABLES, fill))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    changed = {"cut": bytes(content[:-7]), "flipped": bytes(content)}
    path.unlink() if damage == "gone" else path.write_bytes(changed[damage])
    with pytest.raises(PackageError, match=r"a\.part: .* the command again"):
        read_part(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"starlets": [1]}, "no column starlets"),
        ({"frame_id": [1], "step": [None], "recipe": ["a"], "state": ["done"]}, "null in step"),
    ],
)
def test_rows_that_fit_no_table_are_refused(tmp_path, rows, message):
    path = write_part(tmp_path / "a.part", {"product": pl.DataFrame(rows)})
    with pytest.raises(PackageError, match=message):
        read_part(path)


def test_a_full_disk_is_told_and_leaves_no_part(small_disk):
    rows = pl.DataFrame({"frame_id": range(200_000), "step": "x", "recipe": "y", "state": "done"})
    with pytest.raises(DiskFullError):
        write_part(small_disk / "a.part", {"product": rows})
    assert not (small_disk / "a.part").exists()
