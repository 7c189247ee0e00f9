// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Collections;
import java.util.LinkedHashMap;
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

    /** Values for JSON, under the Python runner's names. */
    Map<String, Object> toMap() {
        Map<String, Object> seen = new LinkedHashMap<>();
        for (Map.Entry<String, Observed> entry : observed.entrySet()) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("loglik", entry.getValue().loglik);
            one.put("rr", entry.getValue().rr);
            seen.put(entry.getKey(), one);
        }
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("events", (long) events);
        map.put("heldback", (long) heldback);
        map.put("observed", seen);
        map.put("diverged", diverged);
        return map;
    }

    /** The inverse of {@link #toMap}. */
    static Judgement of(Table table) throws JsonException {
        Map<String, Observed> observed = new LinkedHashMap<>();
        Table seen = table.table("observed");
        for (String choice : seen.names()) {
            Table one = seen.table(choice);
            observed.put(choice, new Observed(one.number("loglik"), one.number("rr")));
        }
        return new Judgement(
                table.whole("events", 0),
                table.whole("heldback", 0),
                observed,
                table.flag("diverged", false));
    }
}
