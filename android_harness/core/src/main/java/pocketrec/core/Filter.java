// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Collection;

/** Says which items may be recommended, such as those in stock, or of a category. */
public interface Filter {
    /**
     * Whether an item may be recommended. Where few items pass it is asked about each item of the
     * catalogue.
     */
    boolean allows(String item);

    /** These items; unknown ones and repeats are passed over. */
    static Filter only(Collection<String> items) {
        return new Allowed.Items(items);
    }
}
