// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * How well a device has recommended: ranks of the events before they were learned, and what was
 * decided. As a file, the very bytes of device/state/quality.py: it has no item and no user, only
 * ranks, the time of the last event that was ranked, and counts.
 */
final class Quality {
    /** Largest rank that is told apart; larger ones, and items not offered, are misses. */
    static final int DEEPEST = 100;

    private static final int KEPT = 1_000; // ranked events
    private static final int DECISIONS = 20;
    private static final String KIND = "pocketrec quality";
    private static final String FORMAT = "1";
    private static final String RANKS = "ranks";

    /** The last event of a history that was ranked, or passed over. */
    static final class Mark {
        final double time;
        final int count; // events of that time up to it
        final long dropped; // events that the store had removed then

        private Mark(double time, int count, long dropped) {
            this.time = time;
            this.count = count;
            this.dropped = dropped;
        }

        /** The mark behind the first {@code index} events; null where there are none. */
        static Mark after(double[] times, int index, long dropped) {
            if (index == 0) {
                return null;
            }
            double time = times[index - 1];
            return new Mark(time, index - History.before(times, time), dropped);
        }

        /**
         * Number of the first events of a history that lie up to the mark.
         *
         * @param times double [n], of the history now
         * @param gone events that the store has removed by now, the first ones
         */
        int index(double[] times, long gone) {
            int left = History.before(times, time);
            long events = count;
            if (times.length > 0 && left == 0 && times[0] == time) { // a log without times
                events = Math.max(0, count - (gone - dropped));
            }
            return (int) Math.min(History.until(times, time), left + events);
        }

        /** Whether this is about later events than another, which may be null. */
        boolean later(Mark other) {
            return other == null || time > other.time || time == other.time && count > other.count;
        }
    }

    /** Rank of each ranked event by the global weights and by those in use; 0 = a miss. */
    final List<int[]> ranks;

    /** Events ranked so far, with those that are no longer in {@link #ranks}. */
    final int ranked;

    /** Events that were passed over, because too many were new at once. */
    final int passed;

    /** The last event that was looked at; null = none was. */
    final Mark mark;

    /** Whether the weights in use are worse than the global ones. */
    final Watch watch;

    /** The guard's latest decisions and returns to the global weights, the oldest first. */
    final List<Map<String, Object>> decisions;

    /** What it belongs to: changes where events were forgotten. */
    final String bound;

    /** Of the model that the watch is about. */
    final String modelId;

    /** Of the state beside which it was written. */
    final int generation;

    private Quality(Change change) {
        ranks = change.ranks;
        ranked = change.ranked;
        passed = change.passed;
        mark = change.mark;
        watch = change.watch;
        decisions = change.decisions;
        bound = change.bound;
        modelId = change.modelId;
        generation = change.generation;
    }

    /** The values of what is to be made. */
    static final class Change {
        List<int[]> ranks = Collections.emptyList();
        int ranked;
        int passed;
        Mark mark;
        Watch watch = new Watch();
        List<Map<String, Object>> decisions = Collections.emptyList();
        String bound = "";
        String modelId = "";
        int generation;

        Quality made() {
            return new Quality(this);
        }
    }

    /** A copy to be changed. */
    Change change() {
        Change change = new Change();
        change.ranks = ranks;
        change.ranked = ranked;
        change.passed = passed;
        change.mark = mark;
        change.watch = watch;
        change.decisions = decisions;
        change.bound = bound;
        change.modelId = modelId;
        change.generation = generation;
        return change;
    }

    /** With the ranks of the next events, up to a mark. */
    Quality withRanks(List<int[]> more, Mark next) {
        Change change = change();
        change.ranks = latest(ranks, more, KEPT);
        change.ranked += more.size();
        change.mark = next;
        return change.made();
    }

    /** With one more decision. */
    Quality withDecision(Map<String, Object> decision) {
        Change change = change();
        change.decisions = latest(decisions, Collections.singletonList(decision), DECISIONS);
        return change.made();
    }

    private static <T> List<T> latest(List<T> before, List<T> more, int most) {
        List<T> all = new ArrayList<>(before);
        all.addAll(more);
        return new ArrayList<>(all.subList(Math.max(0, all.size() - most), all.size()));
    }

    /**
     * The figures of the latest ranked events for recommendations of {@code k} items.
     *
     * @throws DataException k is not in 1..100, or {@code last} is below 1
     */
    QualityReport report(int k, int last) throws DataException {
        if (k < 1 || k > DEEPEST || last < 1) {
            throw new DataException(
                    "k must be 1 to "
                            + DEEPEST
                            + " and last at least 1, not "
                            + k
                            + " and "
                            + last
                            + ": ask for such numbers");
        }
        int from = Math.max(0, ranks.size() - last);
        return new QualityReport(
                this, k, ranks.subList(from, ranks.size()).toArray(new int[0][]));
    }

    /** The content of the file. */
    byte[] toBytes() {
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("ranked", (long) ranked);
        told.put("passed", (long) passed);
        told.put("generation", (long) generation);
        Map<String, Object> marked = new LinkedHashMap<>();
        if (mark != null) {
            marked.put("time", mark.time);
            marked.put("count", (long) mark.count);
            marked.put("dropped", mark.dropped);
        }
        told.put("mark", mark == null ? null : marked);
        told.put("watch", watch.toMap());
        told.put("decisions", decisions);
        Map<String, String> metadata = new LinkedHashMap<>();
        metadata.put("kind", KIND);
        metadata.put("format", FORMAT);
        metadata.put("bound", bound);
        metadata.put("model_id", modelId);
        metadata.put("told", Json.write(told));
        byte[] pairs = new byte[2 * ranks.size()];
        for (int place = 0; place < pairs.length; place++) {
            pairs[place] = (byte) ranks.get(place / 2)[place % 2];
        }
        int[] shape = {ranks.size(), 2};
        Tensor tensor = new Tensor("U8", shape, ByteBuffer.wrap(pairs));
        return new TensorFile(Collections.singletonMap(RANKS, tensor), metadata).dump();
    }

    /** The inverse of {@link #toBytes}; null where it is damaged or of another version. */
    static Quality of(byte[] content) {
        try {
            TensorFile read = TensorFile.parse(content);
            Tensor pairs = read.tensors.get(RANKS);
            boolean ours =
                    KIND.equals(read.metadata.get("kind"))
                            && FORMAT.equals(read.metadata.get("format"))
                            && read.metadata.containsKey("told")
                            && read.metadata.containsKey("bound")
                            && read.metadata.containsKey("model_id")
                            && pairs != null
                            && pairs.dtype.equals("U8")
                            && pairs.shape.length == 2
                            && pairs.shape[1] == 2;
            return ours ? of(read, pairs) : null;
        } catch (TensorFileException | JsonException error) {
            return null;
        }
    }

    private static Quality of(TensorFile read, Tensor pairs)
            throws TensorFileException, JsonException {
        Table told = Table.of(Json.parse(read.metadata.get("told")), "told");
        Change change = new Change();
        int[] flat = pairs.ints(0, pairs.elements());
        change.ranks = new ArrayList<>();
        for (int place = 0; place < flat.length; place += 2) {
            change.ranks.add(Arrays.copyOfRange(flat, place, place + 2));
        }
        change.ranked = told.whole("ranked", 0);
        change.passed = told.whole("passed", 0);
        change.generation = told.whole("generation", 0);
        if (told.map().get("mark") != null) {
            Table mark = told.table("mark");
            change.mark =
                    new Mark(
                            mark.number("time"),
                            mark.whole("count", 0),
                            mark.has("dropped") ? mark.wholeLong("dropped", 0) : 0);
        }
        change.watch = Watch.of(told.table("watch"));
        change.decisions = new ArrayList<>();
        for (Object decision : told.list("decisions")) {
            change.decisions.add(Table.of(decision, "a decision").map());
        }
        change.bound = read.metadata.get("bound");
        change.modelId = read.metadata.get("model_id");
        return change.made();
    }
}
