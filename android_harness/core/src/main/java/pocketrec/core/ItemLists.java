// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * index/lists.bin: the item rows of a catalogue in lists of rows that lie near each other, so that
 * few are looked at; the format of device/contract/lists.py and the search of
 * device/engine/list_scan.py.
 *
 * <p>Little-endian: PRLI, then uint32 version, N, E, L, and 1 where there is a copy of the rows;
 * centroids float16 [L, E]; offsets uint32 [L + 1]; rows uint32 [N] in list order; the largest norm
 * of each list float16 [L]; and with a copy, from the next multiple of 4 on, scales float32 [N] and
 * numbers int8 [N, E].
 */
final class ItemLists {
    /** Its path inside a bundle. */
    static final String FILE = "index/lists.bin";

    private static final int MAGIC = 'P' | 'R' << 8 | 'L' << 16 | 'I' << 24;
    private static final int HEAD = 24;
    private static final int BLOCK = 8192;
    private static final float LARGEST = 1e18f; // a larger scale is damage

    private final float[][] centroids; // [L][E]
    private final int[] offsets; // [L + 1]
    private final int[] rows; // [N]
    private final float[] bounds; // [L]
    private final float[] scales; // [N]; null = there is no copy
    private final ByteBuffer numbers; // [N * E]; null = there is no copy

    /** The lists of a bundle, read when they are first asked for. */
    static final class Held {
        private final File folder;
        private final Manifest manifest;
        private ItemLists found;
        private boolean read;

        Held(File folder, Manifest manifest) {
            this.folder = folder;
            this.manifest = manifest;
        }

        /** The lists; null where the bundle has none, or they cannot be used. */
        synchronized ItemLists get() {
            if (!read && manifest.probes >= 0 && manifest.files.containsKey(FILE)) {
                File file = new File(folder, FILE);
                try (FileChannel channel =
                        FileChannel.open(file.toPath(), StandardOpenOption.READ)) {
                    ByteBuffer mapped =
                            channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size());
                    found = new ItemLists(mapped, manifest.items, manifest.fact("embedding"));
                } catch (IOException | RuntimeException error) {
                    found = null; // the whole catalogue is searched instead
                }
            }
            read = true;
            return found;
        }
    }

    /**
     * @param given the file
     * @param items N of the vocabulary
     * @param size E of an embedding
     * @throws RuntimeException it is cut short, altered, or of another catalogue
     */
    ItemLists(ByteBuffer given, int items, int size) {
        ByteBuffer file = given.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        int count = file.getInt(16);
        int copied = file.getInt(20);
        check(file.getInt(0) == MAGIC && file.getInt(4) == 1);
        check(file.getInt(8) == items && file.getInt(12) == size);
        check(count >= 1 && count <= items && (copied == 0 || copied == 1));
        long start = HEAD + 2L * count * size + 4L * (count + 1) + 4L * items + 2L * count;
        start += copied == 1 ? -start & 3 : 0;
        check(file.limit() == start + copied * (4L * items + (long) items * size));
        file.position(HEAD);
        centroids = new float[count][];
        for (int list = 0; list < count; list++) {
            centroids[list] = halves(file, size);
        }
        offsets = whole(file, count + 1);
        rows = whole(file, items);
        bounds = halves(file, count);
        checkRows(items);
        if (copied == 0) {
            scales = null;
            numbers = null;
            return;
        }
        file.position((int) start);
        scales = new float[items];
        file.asFloatBuffer().get(scales);
        for (float scale : scales) {
            check(scale > 0 && scale < LARGEST);
        }
        file.position((int) start + 4 * items);
        numbers = file.slice();
    }

    private void checkRows(int items) {
        check(offsets[0] == 0 && offsets[offsets.length - 1] == items);
        for (int list = 1; list < offsets.length; list++) {
            check(offsets[list - 1] <= offsets[list]);
        }
        boolean[] seen = new boolean[items + 1];
        for (int row : rows) {
            check(row >= 1 && row <= items && !seen[row]);
            seen[row] = true;
        }
    }

    private static void check(boolean good) {
        if (!good) {
            throw new IllegalArgumentException("it is damaged, or of another catalogue");
        }
    }

    private static float[] halves(ByteBuffer file, int count) {
        float[] values = new float[count];
        for (int place = 0; place < count; place++) {
            values[place] = Tensor.half(file.getShort());
            check(!Float.isNaN(values[place]) && !Float.isInfinite(values[place]));
        }
        return values;
    }

    private static int[] whole(ByteBuffer file, int count) {
        int[] values = new int[count];
        file.asIntBuffer().get(values);
        file.position(file.position() + 4 * count);
        return values;
    }

    /**
     * The k best items of the {@code probes} lists of largest inner product of centroid and user,
     * best first; of more lists, where these hold fewer than k.
     *
     * @param model for lists without a copy of their rows
     * @param user user embedding, float [E]
     */
    int[] best(Model model, float[] user, int k, int probes) throws PocketRecException {
        float[] near = Scores.innerProducts(centroids, user);
        Integer[] order = IntStream.range(0, near.length).boxed().toArray(Integer[]::new);
        Arrays.sort(order, (one, other) -> Float.compare(near[other], near[one])); // it is stable
        float length = (float) Math.sqrt(Scores.innerProducts(new float[][] {user}, user)[0]);
        Best best = new Best(k);
        for (int place = 0; place < order.length && (place < probes || best.size() < k); place++) {
            int list = order[place];
            if (best.size() == k && length * bounds[list] <= best.floor()) {
                continue; // none of this list can exceed the k-th best
            }
            for (int from = offsets[list]; from < offsets[list + 1]; from += BLOCK) {
                int to = Math.min(from + BLOCK, offsets[list + 1]);
                int[] part = Arrays.copyOfRange(rows, from, to);
                best.add(
                        part,
                        numbers == null
                                ? model.scores(user, part)
                                : Scores.innerProducts(numbers, scales, from, to, user));
            }
        }
        return best.rows();
    }
}
