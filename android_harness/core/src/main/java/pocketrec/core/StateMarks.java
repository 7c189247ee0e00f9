// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** By what a state file is known, and what to do with one that cannot be used. */
final class StateMarks {
    private StateMarks() {}

    private static byte[] head(File path, int most) throws StateException {
        try {
            return Storage.head(path, most);
        } catch (IOException error) {
            throw new StateException(
                    "cannot read " + path + " (" + Storage.reason(error) + "): " + States.NOT_OURS,
                    error);
        }
    }

    /**
     * Whether a file is a state or the first part of one, whole or damaged after its beginning, or
     * encrypted.
     */
    static boolean beginsLikeAState(File path) throws StateException {
        if (StateFile.begins(head(path, StateFile.SEALED.length), StateFile.SEALED)) {
            return true;
        }
        byte[] kind = ("\",\"kind\":\"" + States.KIND + "\"").getBytes(StandardCharsets.US_ASCII);
        int kindAt = 8 + TensorFile.MARK.length + 64;
        byte[] head = head(path, kindAt + kind.length);
        if (head.length < 8) { // too short to tell; nothing is lost with an empty file
            return head.length == 0;
        }
        return begins(head, 8, TensorFile.MARK) && begins(head, kindAt, kind);
    }

    /** Whether what there is of {@code head} from {@code at} on is how {@code mark} begins. */
    private static boolean begins(byte[] head, int at, byte[] mark) {
        for (int place = 0; place < mark.length && at + place < head.length; place++) {
            if (head[at + place] != mark[place]) {
                return false;
            }
        }
        return true;
    }

    /** What to do about a state that cannot be used; the key tells whether the one before can. */
    static String wayOut(File path, Seal seal) {
        File previous = States.previousOf(path);
        try {
            if (previous.exists()) {
                TensorFile.parse(StateFile.unsealed(previous, seal));
                return "restore " + previous + ", which is good, with States.restore";
            }
            return "reset it with States.reset to start again from the global model";
        } catch (IOException | TensorFileException | StateException error) {
            return "reset it with States.reset to start again from the global model";
        }
    }
}
