"""What is put on devices is fetched as it was, and eight devices compute what one does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import devices
from jaxlm.devices import Layout

LOCAL = tuple(jax.local_devices())
LAYOUTS = {1: Layout(LOCAL[:1]), 8: Layout(LOCAL[:8]), 3: Layout(LOCAL[5:2:-1])}
STATE = {"kernel": np.arange(6.0, dtype=np.float32).reshape(2, 3), "step": np.int32(7)}
ROWS = np.arange(48 * 2.0, dtype=np.float32).reshape(48, 2)


def mean_step(state, rows, *, axis_name):
    """The mean of all rows, and of their products with a kernel: sums first, divided last."""
    sums = jax.lax.psum((rows.sum(0), (rows @ state["kernel"]).sum(0), len(rows)), axis_name)
    return {"mean": sums[0] / sums[2], "product": sums[1] / sums[2], "step": state["step"] + 1}


@pytest.mark.parametrize("num", LAYOUTS)
def test_what_is_replicated_lies_on_every_device_and_comes_back(num):
    layout = LAYOUTS[num]
    put = layout.replicate(STATE)
    assert put["kernel"].shape == (2, 3)
    assert {shard.device for shard in put["kernel"].addressable_shards} == set(layout.devices)
    found = devices.fetch(put)
    np.testing.assert_array_equal(found["kernel"], STATE["kernel"])
    assert isinstance(found["step"], np.ndarray) and found["step"] == 7


@pytest.mark.parametrize("num", LAYOUTS)
def test_each_device_is_given_its_own_rows_in_order(num):
    layout = LAYOUTS[num]
    divided = layout.divide(ROWS)
    assert divided.shape == (num, 48 // num, 2)
    np.testing.assert_array_equal(divided.reshape(ROWS.shape), ROWS)
    put = layout.parallel(lambda rows: 2 * rows, (True,))(divided)
    assert [shard.device for shard in put.addressable_shards] == list(layout.devices)
    np.testing.assert_array_equal(devices.fetch(put).reshape(ROWS.shape), 2 * ROWS)


def test_rows_of_another_axis_are_divided_and_the_devices_come_first():
    members = np.stack([ROWS, -ROWS])
    divided = LAYOUTS[8].divide({"rows": members}, axis=1)["rows"]
    assert divided.shape == (8, 2, 6, 2)
    for device, own in enumerate(divided):
        np.testing.assert_array_equal(own[1], -ROWS[6 * device : 6 * device + 6])


def test_eight_devices_compute_what_one_does():
    found = {}
    for num, layout in LAYOUTS.items():
        step = layout.parallel(mean_step, (False, True), is_reduced=True)
        found[num] = devices.fetch(step(layout.replicate(STATE), layout.divide(ROWS)))
        assert found[num]["step"] == 8
        # Whole numbers, whose sums no order rounds.
        np.testing.assert_array_equal(found[num]["mean"], ROWS.mean(0))
        np.testing.assert_array_equal(found[num]["product"], (ROWS @ STATE["kernel"]).mean(0))


def test_what_is_given_up_is_reused_and_fetched_copies_stay():
    layout = LAYOUTS[1]
    step = layout.parallel(
        lambda state, rows, axis_name: state + 1, (False, True), is_reduced=True, donate=(0,)
    )
    state = step(layout.replicate(jnp.zeros(4)), layout.divide(ROWS))
    kept = devices.fetch(state)
    step(state, layout.divide(ROWS))
    assert state.is_deleted() and kept.tolist() == [1.0] * 4


def test_a_function_is_traced_once_and_knows_its_target():
    layout, seen = LAYOUTS[8], []

    def told(rows):
        seen.append(devices.current_target())
        return rows

    mapped = layout.parallel(told, (True,))
    for _ in range(2):
        mapped(layout.divide(ROWS))
    assert seen == [layout.target] and layout.target.platform == "cpu"


def test_local_devices():
    assert devices.local_layout().devices == LOCAL
    assert devices.local_layout(LOCAL[1:3]).devices == LOCAL[1:3]
    assert [len(devices.local_layout(rows=rows).devices) for rows in (16, 12, 7, 5)] == [8, 6, 7, 5]
    assert devices.local_layout(LOCAL[:2]).describe() == "2 x cpu"
    with pytest.raises(ValueError, match="batch_size is a multiple of the 2 devices, got 3"):
        devices.local_layout(LOCAL[:2], rows=3)


@pytest.mark.parametrize("wrong", [[], "cpu", LOCAL[0], ["cpu"]])
def test_what_are_no_devices_is_refused(wrong):
    with pytest.raises(ValueError, match=r"devices are some of jax.local_devices\(\): got"):
        devices.local_layout(wrong)


def test_an_array_of_the_host_goes_to_the_default_device():
    put = devices.to_device(ROWS)
    assert put.devices() == {LOCAL[0]}
    np.testing.assert_array_equal(put, ROWS)


def test_the_first_replica_is_the_array_of_one_device():
    layout = LAYOUTS[8]
    replicated = layout.replicate({"a": np.arange(3.0)})
    found = devices.first_replica(replicated)["a"]
    assert found.devices() == {layout.devices[0]} and found.tolist() == [0.0, 1.0, 2.0]
