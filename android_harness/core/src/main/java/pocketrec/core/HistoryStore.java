// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.util.Collections;
import java.util.List;

/**
 * A user's events outside the state: what {@link Recommender} asks of an event store. {@code
 * pocketrec.store.EventStore} is one.
 */
public interface HistoryStore {
    /**
     * Stores events; when this returns all of them are on the disk.
     *
     * @return how many were new
     */
    int append(List<Event> events) throws PocketRecException;

    /** The events whose number is above {@code after}, in the order in which they came. */
    Replayed replay(long after) throws PocketRecException;

    /** Changes whenever something was forgotten. */
    String identity() throws PocketRecException;

    /** How many events went for their number or age, which are the first ones of the history. */
    long dropped() throws PocketRecException;

    /**
     * Deletes events: of one without a time all of its item, of others that one.
     *
     * @return how many went
     */
    int forget(List<Event> events) throws PocketRecException;

    /**
     * Writes the events to a CSV file.
     *
     * @return how many
     */
    int export(File path) throws PocketRecException;

    /**
     * Deletes the store's files.
     *
     * @return the files deleted
     */
    List<File> wipe() throws PocketRecException;

    /** Closes the file; the next call opens it again. */
    void close();

    /** Events of a store in the order in which they came. */
    final class Replayed {
        /** The events. */
        public final List<Event> events;

        /** Their numbers; later ones are larger, and none is given twice. */
        public final List<Long> ids;

        /**
         * @param events the events
         * @param ids as many numbers
         */
        public Replayed(List<Event> events, List<Long> ids) {
            this.events = Collections.unmodifiableList(events);
            this.ids = Collections.unmodifiableList(ids);
        }
    }
}
