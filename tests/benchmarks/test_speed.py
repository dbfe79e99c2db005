"""The arithmetic of the speed benchmark, and one small measurement."""

import numpy as np
import pandas as pd
from benchmarks.speed.cohorts import repeated
from benchmarks.speed.measures import slope
from benchmarks.speed.models import StepClock, clocked, domainvi
from benchmarks.speed.tables import spread, write_tables


def test_slope_of_a_power_law():
    sizes = [1e3, 1e4, 1e6]
    assert np.isclose(slope(sizes, [3 * s**0.9 for s in sizes]), 0.9)


def test_ratios_are_peer_over_domainvi(tmp_path):
    rows = [("DomainVI", 1.0), ("DomainVI", 3.0), ("SCANVI", 6.0)]
    frame = pd.DataFrame(
        [{"measure": "m", "data": "d", "method": m, "wall": t, "processor": t} for m, t in rows]
    ).assign(slice="s", threads=1)
    write_tables(frame, tmp_path / "t.md")
    lines = (tmp_path / "t.md").read_text().splitlines()
    assert "| m | d | 1 | DomainVI | 2 | 2 (1 to 3) | 2 (1 to 3) |  |" in lines
    assert "| m | d | 1 | SCANVI | 1 | 6 | 6 | 3.00 |" in lines
    assert spread(pd.Series([2.0])) == "2"


def test_the_clock_takes_the_median_step_after_the_first():
    clock = StepClock(skip=1)
    clock.ends = [(0.0, 0.0), (5.0, 1.0), *((6.0 + i, 1.5 + i / 2) for i in range(5))]
    assert clock.milliseconds() == (1000.0, 500.0)


def test_steps_are_clocked_through_train():
    clock = clocked(domainvi(repeated(200, 30, unique=100), n_latent=4, n_hidden=8), 15)
    assert len(clock.ends) == 15
    assert min(clock.milliseconds()) > 0
