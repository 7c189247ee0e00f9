// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** What may be recommended, and when; every method gives a changed copy. */
public final class RecommendOptions {
    /** The user's own set, seen items as the manifest says, now. */
    public static final RecommendOptions DEFAULT =
            new RecommendOptions(null, null, null, null, null);

    final List<String> candidates; // null = the user's set
    final Boolean maskSeen; // null = as the manifest says
    final Double now; // null = the clock
    final Filter filter; // null = everything passes
    final Boolean retrieve; // null = where the bundle can

    private RecommendOptions(
            List<String> candidates,
            Boolean maskSeen,
            Double now,
            Filter filter,
            Boolean retrieve) {
        this.candidates = candidates;
        this.maskSeen = maskSeen;
        this.now = now;
        this.filter = filter;
        this.retrieve = retrieve;
    }

    /**
     * Item ids to choose from instead of the user's set; unknown ids and repeats are passed over;
     * null = the user's set.
     */
    public RecommendOptions withCandidates(List<String> candidates) {
        List<String> kept =
                candidates == null
                        ? null
                        : Collections.unmodifiableList(new ArrayList<>(candidates));
        return new RecommendOptions(kept, maskSeen, now, filter, retrieve);
    }

    /** Whether items of the history are left out. */
    public RecommendOptions withMaskSeen(boolean maskSeen) {
        return new RecommendOptions(candidates, maskSeen, now, filter, retrieve);
    }

    /** Moment of asking, Unix seconds, for a recipe whose bonus for repeats looks at times. */
    public RecommendOptions withNow(double now) {
        return new RecommendOptions(candidates, maskSeen, now, filter, retrieve);
    }

    /**
     * What may come back. Where the whole catalogue is searched, it is searched again for items
     * that pass, if need be; of candidates a filter only leaves out.
     */
    public RecommendOptions withFilter(Filter filter) {
        return new RecommendOptions(candidates, maskSeen, now, filter, retrieve);
    }

    /** Whether the whole catalogue is searched; false = the bundle's candidates are ranked. */
    public RecommendOptions withRetrieve(boolean retrieve) {
        return new RecommendOptions(candidates, maskSeen, now, filter, retrieve);
    }
}
