// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** One event of the user: an item, and when. */
public final class Event {
    /** Item id. */
    public final String item;

    /**
     * Time in the log's unit (larger is later); null = none is known, and the event counts as the
     * latest.
     */
    public final Double time;

    /** Category of the item, which a lean bundle uses; "" = none is known. */
    public final String category;

    /**
     * An event with a time.
     *
     * @throws IllegalArgumentException the item is null or empty, or the time is not finite
     */
    public Event(String item, double time) {
        if (item == null || item.isEmpty() || Double.isNaN(time) || Double.isInfinite(time)) {
            throw new IllegalArgumentException("an event needs an item id and a finite time");
        }
        this.item = item;
        this.time = time + 0.0; // no -0
        category = "";
    }

    /**
     * An event without a time.
     *
     * @throws IllegalArgumentException the item is null or empty
     */
    public Event(String item) {
        if (item == null || item.isEmpty()) {
            throw new IllegalArgumentException("an event needs an item id");
        }
        this.item = item;
        this.time = null;
        category = "";
    }

    private Event(String item, Double time, String category) {
        this.item = item;
        this.time = time;
        this.category = category;
    }

    /** The same event of an item whose category is known. */
    public Event ofCategory(String category) {
        return new Event(item, time, category == null ? "" : category);
    }
}
