// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.Set;

/** Which items a device ranks when nobody names any; the rule of device/personal/served.py. */
final class Served {
    private Served() {}

    /**
     * The candidates, then the own history's other items, the latest first.
     *
     * @param candidates int [c], the user's candidates (or the popular items); 0 = padding
     * @param rows int [n], the own history, oldest first
     * @param maskSeen seen items are left out, of the candidates too, and none are added
     * @return int [m], each item once, no 0
     */
    static int[] set(int[] candidates, int[] rows, boolean maskSeen) {
        Set<Integer> set = new LinkedHashSet<>();
        for (int row : candidates) {
            set.add(row);
        }
        if (maskSeen) {
            Set<Integer> seen = new HashSet<>();
            for (int row : rows) {
                seen.add(row);
            }
            set.removeAll(seen);
        } else {
            for (int place = rows.length - 1; place >= 0; place--) {
                set.add(rows[place]);
            }
        }
        set.remove(Contract.PADDING);
        return set.stream().mapToInt(Integer::intValue).toArray();
    }
}
