// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Collections;
import java.util.Map;

/** What the held-back events of one user say. */
public final class Judgement {
    /** Events to learn from, n, the held-back ones included. */
    public final int events;

    /** Held-back targets, m; 0 where there are too few events to judge. */
    public final int heldback;

    /** By choice, personal and blend; empty where heldback = 0 or the training diverged. */
    public final Map<String, Observed> observed;

    /** Whether the training ended in numbers that are not finite. */
    public final boolean diverged;

    Judgement(int events, int heldback, Map<String, Observed> observed, boolean diverged) {
        this.events = events;
        this.heldback = heldback;
        this.observed = Collections.unmodifiableMap(observed);
        this.diverged = diverged;
    }
}
