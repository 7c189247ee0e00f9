// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What {@link Recommender#personalise} did. */
public final class Report {
    /** The reason of a report where nothing was to be done. */
    public static final String NOTHING_NEW = "nothing is new since the last training";

    /** Weights used from now on: personal, blend or global. */
    public final String choice;

    /** Why, in a few words. */
    public final String reason;

    /** Events of the history, without unknown items. */
    public final int history;

    /** Events given that were left out, because the vocabulary lacks their item. */
    public final int unknown;

    /** Events to learn from. */
    public final int events;

    /** Of these, events that the guard held back for its judgement. */
    public final int heldback;

    /** Expected gain in reciprocal rank of blend and personal, where they were weighed. */
    public final Map<String, Double> expectedGain;

    /** Mean loss of each pass, in nats. */
    public final List<Double> losses;

    /** Train steps since the global weights; 0 where the global weights are used. */
    public final int steps;

    /**
     * Train steps made of a training that was stopped for its budget; 0 = it came to its end. The
     * reason says why.
     */
    public final int paused;

    /** Events of the history before the log's cut-off, or that the cloud knows: context only. */
    public final int before;

    /** Events after the cut-off that are too many to be learned from, the first ones. */
    public final int older;

    /** Events that lie after this device's clock, and are left aside until their time has come. */
    public final int future;

    /**
     * The report of an outcome.
     *
     * @param leftOut events before the cut-off, those that are too many, and those of the future
     */
    Report(
            Personalise outcome,
            String choice,
            int history,
            int unknown,
            int stepsBefore,
            int... leftOut) {
        before = leftOut[0];
        older = leftOut[1];
        future = leftOut[2];
        this.choice = choice;
        reason = outcome.decision.reason;
        this.history = history;
        this.unknown = unknown;
        events = outcome.events;
        heldback = outcome.decision.judgement == null ? 0 : outcome.decision.judgement.heldback;
        expectedGain = outcome.decision.posterior;
        losses = Collections.unmodifiableList(outcome.losses);
        paused = outcome.paused == null ? 0 : Math.max(1, outcome.paused.course.done);
        steps = Guard.GLOBAL.equals(choice) ? 0 : stepsBefore + outcome.steps;
    }

    /** Values for JSON, under the Python runner's names. */
    public Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("choice", choice);
        map.put("reason", reason);
        map.put("history", (long) history);
        map.put("unknown", (long) unknown);
        map.put("events", (long) events);
        map.put("heldback", (long) heldback);
        map.put("expected_gain", expectedGain);
        map.put("losses", losses);
        map.put("steps", (long) steps);
        map.put("paused", (long) paused);
        map.put("before", (long) before);
        map.put("older", (long) older);
        map.put("future", (long) future);
        return map;
    }
}
