"""The command `transits fit`: all stored transits of a planet in one fit."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import App

from .answering import store_comparison
from .ingesting import open_run
from .session import SESSION, plain_rows
from .timing import write_figure

if TYPE_CHECKING:
    from ..analysis.joint_results import JointFit
    from ..analysis.light_curves import LightCurve
    from ..warehouse.store import Warehouse


def register(app: App) -> None:
    """Add the command to the group `transits`."""
    app["transits"].command(fit)


def fit(
    planet: str,
    /,
    *,
    times: Literal["free", "linear"] = "free",
    period: float | None = None,
    plot: Path | None = None,
) -> None:
    """Fit all stored transits of a planet together, our own and those made elsewhere.

    They share one orbit, and one depth a band; each has its own baseline. The fit is stored, and
    its mid-times join the O-C of the planet.

    Parameters
    ----------
    planet
        Name of the planet.
    times
        free: each transit has its own mid-time; linear: all obey one ephemeris, which is fitted.
    period
        Period in days, taken as given: only the zero of the ephemeris is fitted.
    plot
        SVG or PNG file for the transits with their model.
    """
    from ..analysis.joint_curves import gather_transits
    from ..analysis.joint_fit import fit_jointly
    from ..analysis.joint_model import joint_model
    from ..analysis.joint_rows import joint_rows, parameter_values, transit_table
    from ..analysis.orbits import Ephemeris
    from ..analysis.planets import find_planet

    warehouse = SESSION.warehouse()
    with warehouse.reading() as con:
        row = find_planet(con, planet)
        curves, own, left_out = gather_transits(con, row, options=warehouse.config.ensemble)
    for reason in left_out:
        SESSION.say(f"left out {reason}")
    model = joint_model(
        Ephemeris.from_row(row),
        curves,
        time_model=times if period is None else "period",
        period_d=period,
    )
    found = fit_jointly(model)
    store_joint(warehouse, found, row["planet_id"], own)
    stored, _ = joint_rows(found, row["planet_id"])
    if plot is not None:
        from ..analysis.joint_figures import joint_figure

        write_figure(joint_figure(found), plot)
    table = transit_table(found)
    if SESSION.as_json:
        told = {name: value for name, value in stored.items() if name != "parameters"}
        document = {"planet": row["planet_name"], **told, "epoch": found.epoch}
        document |= {"is_settled": found.is_settled, "parameters": parameter_values(found)}
        SESSION.answer(document | {"transits": plain_rows(table), "left_out": left_out})
        return
    err = "as given" if found.period_err_d is None else f"+- {found.period_err_d:.8f}"
    SESSION.tell(f"{row['planet_name']}: {len(curves)} transits, {found.n_point} points")
    SESSION.tell(f"        period_d  {found.period_d:.8f} {err}")
    SESSION.tell(f"     mid_bjd_tdb  {found.mid_bjd_tdb:.6f} +- {found.mid_err_d:.6f}")
    for name, value in found.value.items():
        if not name.startswith(("offset", "slope")):
            SESSION.tell(f"{name:>16}  {value:.5f} +- {found.err[name]:.5f}")
    SESSION.table(table)


def store_joint(
    warehouse: "Warehouse", fit: "JointFit", planet_id: int, own: "list[LightCurve]"
) -> None:
    """Store a joint fit, unless the newest of its kind says the same, and its comparison stars."""
    import polars as pl

    from ..analysis.joint_rows import joint_rows
    from ..warehouse.store import frame

    if own:
        store_comparison(warehouse, [curve.comparison for curve in own])
    row, transits = joint_rows(fit, planet_id)
    with warehouse.reading() as con:
        newest = frame(
            con,
            "from joint_fit where planet_id = $id and time_model = $kind "
            "order by joint_fit_id desc limit 1",
            id=planet_id,
            kind=row["time_model"],
        )
    same = ("n_transit", "n_point", "period_d", "mid_bjd_tdb", "mid_err_d", "parameters")
    if newest.height and all(newest[name][0] == row[name] for name in same):
        return
    with open_run(warehouse) as current:
        number = {"joint_fit_id": current.next_id("joint_fit")}
        when = {"fitted_utc": datetime.now(UTC).replace(tzinfo=None)}
        rows = pl.DataFrame([row | number | when], infer_schema_length=None)
        of_fit = pl.DataFrame([each | number for each in transits], infer_schema_length=None)
        current.store("joint-fit", {"joint_fit": rows, "joint_transit": of_fit})
