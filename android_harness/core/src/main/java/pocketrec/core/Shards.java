// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;

/**
 * Candidate shards: which file of a bundle holds a user's candidates, and what its tensors are
 * called. The rules of device/contract/shards.py.
 */
public final class Shards {
    /** In a version that was pulled: JSON list of the shards that it holds, if not all. */
    public static final String HELD = ".shards";

    static final String ROWS = "rows"; // tensor: unsigned [U, K], 0 padded
    static final String KNOWN = "known"; // optional tensor: unsigned [U], events known to the cloud
    static final String USERS = "users"; // metadata: JSON list of U user ids

    private Shards() {}

    /**
     * Shard of a user: the first eight bytes of the SHA-256 of the id (UTF-8), big-endian, modulo
     * {@code shards}.
     */
    public static long of(String user, long shards) {
        byte[] digest = Storage.sha256().digest(Text.utf8(user));
        return Long.remainderUnsigned(ByteBuffer.wrap(digest).getLong(), shards);
    }

    /** Path of a candidate shard inside a bundle. */
    public static String name(long shard) {
        return String.format(Locale.ROOT, "%s/%04d", Contract.CANDIDATES_FOLDER, shard);
    }

    /**
     * Candidate shards that a bundle's folder holds; null = all of its manifest.
     *
     * @throws BundleException the list is damaged
     */
    public static Set<Long> held(File folder) throws BundleException {
        File file = new File(folder, HELD);
        if (!file.exists()) {
            return null;
        }
        try {
            Set<Long> held = new TreeSet<>();
            for (Object shard : (List<?>) Json.parse(Storage.read(file))) {
                held.add((Long) shard);
            }
            return held;
        } catch (IOException | JsonException | ClassCastException | NullPointerException error) {
            throw new BundleException(file + " is damaged: fetch the bundle again");
        }
    }

    /**
     * Checks a shard as a whole: a row of items and, where there are any, a number of events for
     * each user.
     *
     * @param lines the largest item row that it may name
     * @throws JsonException it is not as it should be
     */
    static void check(TensorFile shard, int lines) throws JsonException, TensorFileException {
        Object users = Json.parse(String.valueOf(shard.metadata.get(USERS)));
        Tensor rows = shard.tensors.get(ROWS);
        Tensor known = shard.tensors.get(KNOWN);
        if (!(users instanceof List) || rows == null) {
            throw new JsonException("its users are not a list of ids");
        }
        for (Object user : (List<?>) users) {
            if (!(user instanceof String)) {
                throw new JsonException("its users are not a list of ids");
            }
        }
        int count = ((List<?>) users).size();
        if (rows.shape.length != 2 || rows.shape[0] != count) {
            throw new JsonException("users and rows do not fit");
        }
        for (int row : rows.ints(0, rows.elements())) {
            if (row < 0 || row > lines) {
                throw new JsonException("it names items that the bundle lacks");
            }
        }
        if (known != null) {
            if (known.shape.length != 1 || known.shape[0] != count) {
                throw new JsonException("users and numbers of known events do not fit");
            }
            known.ints(0, count);
        }
    }
}
