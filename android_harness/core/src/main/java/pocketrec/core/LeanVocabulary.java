// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The vocabulary of a lean bundle: ids of the popular head and of buckets in a file, and of the
 * candidate shard's items in memory.
 *
 * <p>An event of another item counts as its bucket, which the event's category tells; without one
 * it counts as the last bucket. The rules are those of device/contract/lean.py.
 */
final class LeanVocabulary extends Vocabulary {
    private static final String BUCKET = "category:"; // begins the id of a bucket

    private final int head;
    private final List<String> own;
    private final Map<String, Integer> rows = new HashMap<>();
    private final Map<String, Integer> buckets = new HashMap<>();
    private final Map<String, String> categories = new HashMap<>();

    /**
     * @param path items.txt
     * @param count its lines
     * @param head how many of them are items; the others are buckets
     * @param own ids of the shard's items
     */
    LeanVocabulary(File path, int count, int head, List<String> own) throws BundleException {
        super(path, count);
        this.head = head;
        this.own = Collections.unmodifiableList(own);
        for (int place = 0; place < own.size(); place++) {
            rows.put(own.get(place), count + 1 + place);
        }
        for (int row = head + 1; row <= count; row++) {
            buckets.put(super.id(row), row);
        }
    }

    @Override
    public int size() {
        return super.size() + own.size();
    }

    @Override
    synchronized void learn(List<Event> events) {
        for (Event event : events) {
            if (!event.category.isEmpty()) {
                categories.put(event.item, event.category);
            }
        }
    }

    /** Row of each id: its own, else that of its bucket; 0 for an empty id only. */
    @Override
    public synchronized int[] rows(List<String> ids) {
        int[] found = super.rows(ids);
        for (int place = 0; place < found.length; place++) {
            String id = ids.get(place);
            if (found[place] == Contract.PADDING && !id.isEmpty()) {
                Integer row = rows.get(id);
                if (row == null) {
                    row = buckets.get(BUCKET + categories.getOrDefault(id, ""));
                }
                found[place] = row == null ? super.size() : row;
            }
        }
        return found;
    }

    @Override
    public String id(int row) {
        return row > super.size() && row <= size()
                ? own.get(row - super.size() - 1)
                : super.id(row);
    }

    @Override
    boolean isItem(int row) {
        return row <= head || row > super.size();
    }
}
