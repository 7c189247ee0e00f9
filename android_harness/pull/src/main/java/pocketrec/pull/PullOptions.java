// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;

/** How bundles are fetched; every {@code with} gives a changed copy. */
public final class PullOptions {
    /** No user, the key that was pinned before, the usual limits and patience. */
    public static final PullOptions DEFAULT = new PullOptions(new Values());

    private static final class Values implements Cloneable {
        List<String> users = Collections.emptyList();
        String key;
        Limits limits = Limits.DEFAULT;
        Patience patience = Patience.DEFAULT;
        boolean older;
        Source source = new Web();
        double now = Double.NaN;

        Values copy() {
            try {
                return (Values) clone();
            } catch (CloneNotSupportedException error) {
                throw new IllegalStateException(error);
            }
        }
    }

    private final Values values;

    private PullOptions(Values values) {
        this.values = values;
    }

    /** Users whose candidates are wanted, besides those named before. */
    public PullOptions withUsers(Collection<String> users) {
        Values changed = values.copy();
        changed.users = Collections.unmodifiableList(new ArrayList<>(users));
        return new PullOptions(changed);
    }

    /**
     * Public key to pin, from now on too: 64 hexadecimal digits, or the path of a PEM file; "none"
     * = releases that are not signed are taken from now on.
     */
    public PullOptions withKey(String key) {
        Values changed = values.copy();
        changed.key = key;
        return new PullOptions(changed);
    }

    /** What a manifest may ask for. */
    public PullOptions withLimits(Limits limits) {
        Values changed = values.copy();
        changed.limits = limits;
        return new PullOptions(changed);
    }

    /** How long the server is waited for. */
    public PullOptions withPatience(Patience patience) {
        Values changed = values.copy();
        changed.patience = patience;
        return new PullOptions(changed);
    }

    /**
     * Take a release with a smaller number than one that was installed before, or that was rolled
     * back from, or that has expired.
     */
    public PullOptions allowOlder(boolean older) {
        Values changed = values.copy();
        changed.older = older;
        return new PullOptions(changed);
    }

    /** The application's own HTTP. */
    public PullOptions withSource(Source source) {
        Values changed = values.copy();
        changed.source = source;
        return new PullOptions(changed);
    }

    /** Another clock than the device's for releases that expire, Unix seconds. */
    public PullOptions withNow(double now) {
        Values changed = values.copy();
        changed.now = now;
        return new PullOptions(changed);
    }

    List<String> users() {
        return values.users;
    }

    String key() {
        return values.key;
    }

    Limits limits() {
        return values.limits;
    }

    Patience patience() {
        return values.patience;
    }

    boolean older() {
        return values.older;
    }

    Source source() {
        return values.source;
    }

    double now() {
        return Double.isNaN(values.now) ? System.currentTimeMillis() / 1000.0 : values.now;
    }
}
