"""What holds after every test."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _numbers_are_as_exact_as_before() -> Iterator[None]:
    """No test leaves the processor taking the tiniest numbers for zero, as learners have it do while they run: later
    tests would calculate with other numbers."""
    yield
    assert float("1e-310") * 1.0 > 0, "this test left torch's set_flush_denormal(True) behind"
