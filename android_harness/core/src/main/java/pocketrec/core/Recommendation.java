// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** One recommended item. */
public final class Recommendation {
    /** Item id. */
    public final String item;

    /** Its score; comparable within one list only. */
    public final double score;

    Recommendation(String item, double score) {
        this.item = item;
        this.score = score;
    }

    @Override
    public String toString() {
        return item + " " + score;
    }
}
