// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.io.IOException;
import java.util.Comparator;
import java.util.Map;
import java.util.TreeMap;

/**
 * What goes with what this person had: item-kNN on the device, beside the network.
 *
 * <p>As device/contract/neighbours.py: with a = the events since an event of the history, s = the
 * sum over the events of decay^a * similarity of the event's item and another, and most = the
 * largest s of all items, an item's score is raised by strength * log(1 + 100 s / most). The table
 * comes in a file of its own, where the rehearsal found that it helps.
 */
final class Neighbours {
    /** Name of the file in a bundle. */
    static final String FILE = "neighbours.tensors";

    private static final double SHARPNESS = 100.0;
    private static final double NEGLIGIBLE =
            1e-6; // share of the latest event's weight under which older ones are passed over

    private final int[] offsets; // int [N + 2]: row i has neighbours offsets[i] to offsets[i + 1]
    private final int[] rows; // int [n]
    private final int[] codes; // int [n], 1 to 127: share of the row's scale, times 127
    private final float[] scales; // float [N + 1]: the largest similarity of each row
    private final double decay;
    private final double strength;

    private Neighbours(
            int[] offsets, int[] rows, int[] codes, float[] scales, double decay, double strength) {
        this.offsets = offsets;
        this.rows = rows;
        this.codes = codes;
        this.scales = scales;
        this.decay = decay;
        this.strength = strength;
    }

    /** The neighbours of a bundle, read when they are first asked for. */
    static final class Held {
        private final File folder;
        private final Manifest manifest;
        private Neighbours found;

        Held(File folder, Manifest manifest) {
            this.folder = folder;
            this.manifest = manifest;
        }

        /**
         * The table; null where the bundle brings none.
         *
         * @throws BundleException the file is missing, altered, or does not fit the bundle
         */
        synchronized Neighbours get() throws BundleException {
            if (manifest.leanHead >= 0 || !manifest.files.containsKey(FILE)) {
                return null;
            }
            if (found == null) {
                try {
                    found = of(TensorFile.load(new File(folder, FILE)), manifest.items);
                } catch (IOException error) {
                    throw refused(Storage.reason(error));
                } catch (TensorFileException | NumberFormatException error) {
                    throw refused(error.getMessage());
                }
            }
            return found;
        }

        private BundleException refused(String reason) {
            return new BundleException(
                    folder
                            + ": "
                            + FILE
                            + " cannot be used ("
                            + reason
                            + "): fetch or export the bundle again");
        }
    }

    /**
     * Reads a table.
     *
     * @param items N of the bundle
     * @throws TensorFileException arrays are missing, or do not fit
     */
    static Neighbours of(TensorFile file, int items) throws TensorFileException {
        int[] counts = whole(file, "counts");
        int[] rows = whole(file, "rows");
        int[] codes = whole(file, "codes");
        Tensor scale = tensor(file, "scales");
        float[] scales = scale.floats();
        double decay = Double.parseDouble(String.valueOf(file.metadata.get("decay")));
        double strength = Double.parseDouble(String.valueOf(file.metadata.get("strength")));
        boolean fits =
                scale.shape.length == 1
                        && counts.length == items + 1
                        && scales.length == items + 1
                        && rows.length == codes.length
                        && counts[0] == 0
                        && decay > 0
                        && decay <= 1
                        && strength > 0
                        && strength < Double.POSITIVE_INFINITY;
        int[] offsets = new int[items + 2];
        long total = 0;
        for (int row = 0; fits && row <= items; row++) {
            total += counts[row];
            fits = counts[row] >= 0 && total <= rows.length && Float.isFinite(scales[row]);
            offsets[row + 1] = (int) total;
        }
        fits = fits && total == rows.length;
        for (int place = 0; fits && place < rows.length; place++) {
            fits = rows[place] >= 1 && rows[place] <= items && codes[place] >= 1;
        }
        if (!fits) {
            throw new TensorFileException("its arrays do not fit");
        }
        return new Neighbours(offsets, rows, codes, scales, decay, strength);
    }

    /**
     * Raises the scores of candidates in place.
     *
     * @param scores float [c]
     * @param candidates int [c] rows
     * @param history int [h] rows, oldest first, no 0
     */
    void addTo(float[] scores, int[] candidates, int[] history) {
        Map<Integer, Float> raised = raised(history);
        for (int place = 0; place < candidates.length; place++) {
            scores[place] += raised.getOrDefault(candidates[place], 0f);
        }
    }

    /**
     * The {@code count} items, or fewer, that a history raises most, the most raised first; of
     * equal ones the smaller row.
     */
    int[] best(int[] history, int count) {
        Map<Integer, Float> raised = raised(history);
        return raised.keySet().stream()
                .sorted(
                        Comparator.<Integer>comparingDouble(row -> -raised.get(row))
                                .thenComparingInt(row -> row))
                .limit(count)
                .mapToInt(Integer::intValue)
                .toArray();
    }

    /** By row, how much a history raises each item that goes with it. */
    private Map<Integer, Float> raised(int[] history) {
        Map<Integer, Double> sums = new TreeMap<>();
        double most = 0;
        for (int place = history.length - reach(history.length); place < history.length; place++) {
            int row = history[place];
            double weight = Math.pow(decay, history.length - 1 - place) * scales[row];
            for (int at = offsets[row]; at < offsets[row + 1]; at++) {
                most = Math.max(most, sums.merge(rows[at], weight * codes[at], Double::sum));
            }
        }
        Map<Integer, Float> raised = new TreeMap<>();
        for (Map.Entry<Integer, Double> one : sums.entrySet()) {
            double sum = one.getValue() / most;
            raised.put(one.getKey(), (float) (strength * Math.log1p(SHARPNESS * sum)));
        }
        return raised;
    }

    /** How many of the latest events count. */
    private int reach(int events) {
        if (decay == 1) {
            return events;
        }
        return (int) Math.min(events, Math.ceil(Math.log(NEGLIGIBLE) / Math.log(decay)));
    }

    private static Tensor tensor(TensorFile file, String name) throws TensorFileException {
        Tensor found = file.tensors.get(name);
        if (found == null || found.shape.length != 1) {
            throw new TensorFileException("it has no list " + name);
        }
        return found;
    }

    private static int[] whole(TensorFile file, String name) throws TensorFileException {
        Tensor found = tensor(file, name);
        return found.ints(0, found.elements());
    }
}
