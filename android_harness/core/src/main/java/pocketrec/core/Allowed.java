// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/** A filter over the rows of a vocabulary. */
final class Allowed {
    /** A list of items, whose rows are looked up once. */
    static final class Items implements Filter {
        final Set<String> items;

        Items(Collection<String> items) {
            this.items = new HashSet<>(items);
        }

        @Override
        public boolean allows(String item) {
            return items.contains(item);
        }
    }

    private final Vocabulary vocabulary;
    private final Filter filter;
    private int[] listed; // rows of the items of a list, ascending; null = no list

    /**
     * @param filter null = everything passes
     */
    Allowed(Filter filter, Vocabulary vocabulary) {
        this.vocabulary = vocabulary;
        this.filter = filter;
        if (filter instanceof Items) {
            List<String> ids = new ArrayList<>(((Items) filter).items);
            listed =
                    Arrays.stream(vocabulary.rows(ids))
                            .filter(row -> row != Contract.PADDING)
                            .sorted()
                            .distinct()
                            .toArray();
        }
    }

    /** Whether everything passes. */
    boolean all() {
        return filter == null;
    }

    /** Those of these rows that pass, in their order. */
    int[] keep(int[] rows) {
        return all() ? rows : Arrays.stream(rows).filter(test()).toArray();
    }

    /** All rows that pass, ascending; a function is asked about every item. */
    int[] rows() {
        if (listed != null) {
            return listed;
        }
        IntStream every = IntStream.rangeClosed(1, vocabulary.size());
        return all() ? every.toArray() : every.filter(test()).toArray();
    }

    private IntPredicate test() {
        return listed == null
                ? row -> filter.allows(vocabulary.id(row))
                : row -> Arrays.binarySearch(listed, row) >= 0;
    }
}
