// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * How two holders of one state come together, so that nothing that either has recorded is dropped:
 * the rules of device/state/merging.py. Each reads the file once and writes it later; who finds
 * another state in the file than it has read takes that one's history and adds its own new events.
 */
final class Merging {
    /** What was done to a state since it was read from its file or written to it. */
    static final class Changes {
        /** The state then. */
        final PersonalState base;

        /** The events that were added, as they were given, with their rows. */
        final List<Added> added = new ArrayList<>();

        /** Whether a personalisation came to its end. */
        boolean trained;

        /** Whether the history was started again or events were forgotten. */
        boolean cleared;

        Changes(PersonalState base) {
            this.base = base;
        }

        /** The history is begun again. */
        void clear() {
            added.clear();
            cleared = true;
        }
    }

    /** Events and the rows of their items. */
    static final class Added {
        final List<Event> events;
        final int[] rows;

        Added(List<Event> events, int[] rows) {
            this.events = events;
            this.rows = rows;
        }
    }

    private Merging() {}

    /**
     * One state out of two that come from the same file. The other's history gets what was added to
     * mine. The weights are mine where I have trained, else the other's, which may have. Where one
     * side has forgotten events, they do not come back with the other side, nor do weights that
     * were trained on them.
     *
     * @param mine the state in memory
     * @param changes since {@code mine} was read
     * @param other what is in the file now
     * @param cutOff of the bundle's manifest; null = none
     */
    static PersonalState merged(
            PersonalState mine, Changes changes, PersonalState other, Double cutOff) {
        boolean theirs = other.forgotten != changes.base.forgotten;
        boolean ours = mine.forgotten != changes.base.forgotten;
        PersonalState history = changes.cleared ? without(other, changes.base) : other;
        for (Added one : changes.added) {
            history =
                    History.merged(
                            history, one.events, one.rows, cutOff, Double.POSITIVE_INFINITY);
        }
        boolean keep = changes.trained || !hasTrained(other, changes.base);
        PersonalState taken = ours || keep && !theirs ? mine : other;
        PersonalState.Change change = mine.change();
        change.rows = history.rawRows();
        change.times = history.rawTimes();
        change.learnedFrom(taken);
        change.trained = Math.min(seen(taken, change.times), change.rows.length);
        change.generation = Math.max(mine.generation, other.generation);
        change.forgotten = Math.max(mine.forgotten, other.forgotten) + (ours && theirs ? 1 : 0);
        if (ours && theirs) {
            change.learnedFrom(PersonalState.empty(mine.user, 0));
            change.trained = 0;
        }
        return change.made();
    }

    /** Whether a state has been personalised since it was {@code base}. */
    static boolean hasTrained(PersonalState state, PersonalState base) {
        return state.steps != base.steps
                || !state.learned.equals(base.learned)
                || !Json.write(state.report).equals(Json.write(base.report))
                || !pendingOf(state).equals(pendingOf(base));
    }

    private static String pendingOf(PersonalState state) {
        return state.pending == null ? "" : state.pending.toJson();
    }

    /** The state without the events of another one, each as often as that has it. */
    private static PersonalState without(PersonalState state, PersonalState base) {
        Map<String, Integer> known = new HashMap<>();
        for (int place = 0; place < base.rawRows().length; place++) {
            known.merge(
                    History.key(base.rawRows()[place], base.rawTimes()[place]), 1, Integer::sum);
        }
        int[] rows = state.rows();
        double[] times = state.times();
        int count = 0;
        for (int place = 0; place < rows.length; place++) {
            String key = History.key(rows[place], times[place]);
            if (known.getOrDefault(key, 0) > 0) {
                known.merge(key, -1, Integer::sum);
            } else {
                rows[count] = rows[place];
                times[count++] = times[place];
            }
        }
        return state.withHistory(Arrays.copyOf(rows, count), Arrays.copyOf(times, count), 0);
    }

    /**
     * How many first events of a larger history count as seen by a state's training: up to the last
     * one it has seen.
     *
     * @param state whose history the larger one has come from
     * @param times of the larger history, in which events of equal time stand behind those of the
     *     state
     */
    private static int seen(PersonalState state, double[] times) {
        if (state.trained == 0 || state.rawTimes().length == 0) {
            return 0;
        }
        double[] old = state.rawTimes();
        double last = old[Math.min(state.trained, old.length) - 1];
        return History.before(times, last) + state.trained - History.before(old, last);
    }
}
