# SPDX-License-Identifier: Apache-2.0
"""What every evaluation compares with (`pocketrec.cloud.config.baselines.BASELINES` names it): the protocol,
each baseline, and how they are fitted and kept in files."""
