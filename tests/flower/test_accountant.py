# SPDX-License-Identifier: Apache-2.0
"""Our accountant beside dp-accounting, in the environment that has it (`make test-flower`)."""

from __future__ import annotations

import pytest
from accountant import CASES, Case, grid, theirs

from pocketrec.cloud.federated.privacy import epsilon

pytest.importorskip("dp_accounting", reason="dp-accounting is not installed")


@pytest.mark.parametrize("case", [*CASES, *grid()], ids=str)
def test_epsilon_is_never_below_and_at_most_a_tenth_above(case: Case) -> None:
    reference = theirs(*case)
    assert reference <= epsilon(*case) <= 1.1 * reference + 1e-9
