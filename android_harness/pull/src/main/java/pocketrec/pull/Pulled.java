// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import java.io.File;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** What {@link Pull#pull} did. */
public final class Pulled {
    /** The bundle in use. */
    public final File folder;

    /** Number of the release that the device has. */
    public final long serial;

    /** Whether the device switched to another version. */
    public final boolean isNew;

    /** Bytes of the answers' bodies. */
    public final long received;

    /** In a few words. */
    public final String reason;

    /** What somebody should look at, one line each. */
    public final List<String> notes;

    Pulled(
            File folder,
            long serial,
            boolean isNew,
            long received,
            String reason,
            List<String> notes) {
        this.folder = folder;
        this.serial = serial;
        this.isNew = isNew;
        this.received = received;
        this.reason = reason;
        this.notes = Collections.unmodifiableList(new ArrayList<>(notes));
    }
}
