// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * A history that lies in an event store, which others may add to and forget in; or, where there is
 * none, a history that the state holds: the rules of device/state/kinds.py. This class takes states
 * and gives what follows from them; it keeps no events of its own.
 */
final class StoreHistory {
    private final HistoryStore store; // null = the state holds the history
    private String identity = ""; // of the store whose events the history has; "" = not read yet
    private long stored; // number of the store's last event in the history
    private long dropped; // events that the store had removed by then

    StoreHistory(HistoryStore store) {
        this.store = store;
    }

    /** Whether a store has the events. */
    boolean outside() {
        return store != null;
    }

    /** The store's identity when it was last looked at; "" = there is none. */
    String identity() {
        return identity;
    }

    /** Number of the store's last event in the history; 0 where there is no store. */
    long stored() {
        return stored;
    }

    /** Events that the store had removed; 0 where there is no store. */
    long dropped() {
        return dropped;
    }

    /** Puts new events into the store. */
    void record(List<Event> events) throws PocketRecException {
        if (store != null) {
            store.append(events);
        }
    }

    /** The state with what is new in the store, and without what the store removed. */
    PersonalState refreshed(PersonalState state, Session session) throws PocketRecException {
        long gone = store.dropped();
        if (gone != dropped) {
            state = state.withoutHistory();
            stored = 0;
            dropped = gone;
        }
        HistoryStore.Replayed found = store.replay(stored);
        int seen = 0; // of these, training has seen so many
        while (seen < found.ids.size() && found.ids.get(seen) <= state.through) {
            seen++;
        }
        Double cutOff = session.bundle.manifest.cutOff;
        double limit = session.limit();
        if (seen > 0) {
            List<Event> before = found.events.subList(0, seen);
            state = History.merged(state, before, session.rows(before), cutOff, limit);
            int past = History.until(state.rawTimes(), limit);
            state = state.withHistory(state.rawRows(), state.rawTimes(), past);
        }
        List<Event> later = found.events.subList(seen, found.events.size());
        stored = found.ids.isEmpty() ? stored : found.ids.get(found.ids.size() - 1);
        return History.merged(state, later, session.rows(later), cutOff, limit);
    }

    /** Whether events were forgotten since the last call, so that all has to be left aside. */
    boolean restarted() throws PocketRecException {
        String known = identity;
        identity = store == null ? "" : store.identity();
        return !known.isEmpty() && !known.equals(identity);
    }

    /** The history is taken from its beginning at the next {@link #refreshed}. */
    void rewind() {
        stored = 0;
        dropped = 0;
    }

    /** Deletes events in the store; gives how many went. */
    int forget(List<Event> wanted) throws PocketRecException {
        return store.forget(wanted);
    }

    /** Writes all events to a CSV file; gives their number. */
    int export(File file) throws PocketRecException {
        return store.export(file);
    }

    /** Deletes the store's files, where there are any; gives which. */
    List<File> wipe() throws PocketRecException {
        identity = "";
        return store == null ? new ArrayList<>() : new ArrayList<>(store.wipe());
    }

    /** The numbers of the store's events, after the history of a state was put into it. */
    List<Long> taken(List<Event> events) throws PocketRecException {
        store.append(events);
        return Collections.unmodifiableList(store.replay(0).ids);
    }
}
