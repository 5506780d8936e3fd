"""What is computed for ten thousand images, from figures that make the arithmetic easy."""

from bench_scale import Measured, scale_table

MEASURED = Measured(
    image=100.0,
    own=1.0,
    hashing=1000.0,
    alone=0.5,
    joint=0.1,
    exported=4.0,
    messages=3.0,
    action=2.0,
    hit=0.06,
)


def rows(images, minutes):
    lines = scale_table(MEASURED, images, minutes)[2:]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]


def test_each_row_is_the_product_that_the_page_says():
    values = dict(reversed(rows(10_000, 10)))
    assert values["bytes read, each image alone"] == "1,000.0 GB"
    # Ten times 99 MB, and ten thousand times 1 MB.
    assert values["bytes read, 10 matrices"] == "11.0 GB"
    assert values["bytes hashed for actions, shared inputs once for each recipe"] == "990 MB"
    assert values["CPU time, each image alone"] == "1.4 h"
    assert values["CPU time, 10 matrices"] == "16.8 min"
    assert values["CPU time of exporting all as actions"] == "40.0 s"
    assert values["messages of the API"] == "30 MB"
    assert values["cache: inputs, and every image whole"] == "1,001.0 GB"
    assert values["CPU time of all actions, nothing in the cache"] == "5.6 h"
    assert values["CPU time of all results from the cache, nothing changed"] == "10.0 min"


def test_cores_are_enough_for_the_time():
    # 20,000 seconds in 10 minutes are 33.3 cores, a tenth of them 3.3.
    assert [value for name, value in rows(10_000, 10) if name == "cores for that in 10 minutes"] == ["34", "4"]
