// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The file of a personal state: a tensor file bound to the model, its tensor specs and its
 * vocabulary; with a key it is sealed. The very format of device/state/file.py, so a state that one
 * runner writes the other reads.
 */
final class StateFile {
    /** How a sealed state begins. */
    static final byte[] SEALED = Text.utf8("pocketrec sealed 1\n");

    private static final String WEIGHTS =
            "weights/"; // prefix of trainable tensors and slots in the file
    private static final String PENDING = "pending/"; // of those of a training that was stopped
    private static final String ROWS = "history/rows";
    private static final String TIMES = "history/times";

    private StateFile() {}

    /**
     * Writes a state atomically, readable by its owner only; the file that was there becomes the
     * previous generation.
     *
     * @param state what it holds; where it names a store, the history is left out
     * @param keep off: no previous generation stays, for it holds what is not to be kept
     * @param seal encrypts it; null = it lies in the clear
     * @throws StorageException full storage, or no permission; the old state is still good
     */
    static void write(
            File path, PersonalState state, StateBinding binding, boolean keep, Seal seal)
            throws StorageException {
        Map<String, String> metadata = new LinkedHashMap<>();
        metadata.put("kind", States.KIND);
        metadata.put("format", String.valueOf(Contract.FORMAT_VERSION));
        metadata.putAll(binding.facts);
        metadata.put("user", state.user);
        metadata.put("trained", String.valueOf(state.trained));
        metadata.put("steps", String.valueOf(state.steps));
        metadata.put("generation", String.valueOf(state.generation));
        metadata.put("report", Json.write(state.report));
        boolean stored = !state.store.isEmpty();
        if (stored) {
            metadata.put("store", state.store);
            metadata.put("through", String.valueOf(state.through));
        }
        if (state.forgotten > 0) {
            metadata.put("forgotten", String.valueOf(state.forgotten));
        }
        if (!stored && !state.items.isEmpty()) {
            metadata.put("items", Json.write(state.items));
        }
        if (!state.learned.isEmpty()) {
            metadata.put("learned", state.learned);
        }
        if (state.pending != null) {
            metadata.put("pending", state.pending.toJson());
        }
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        tensors.put(ROWS, Tensor.of(stored ? new int[0] : state.rawRows()));
        tensors.put(TIMES, Tensor.of(stored ? new double[0] : state.rawTimes()));
        put(tensors, WEIGHTS, state.weights, binding);
        if (state.pending != null) {
            put(tensors, PENDING, state.pending.paused.weights, binding);
        }
        try (FileLock lock = FileLock.of(path)) {
            Storage.sweep(path, 3_600_000);
            byte[] content = sealed(seal, SEALED, new TensorFile(tensors, metadata).dump());
            Storage.writeAtomic(path, content, keep ? States.previousOf(path) : null);
            if (!keep) {
                States.dropPrevious(path);
            }
        }
    }

    private static void put(
            Map<String, Tensor> tensors, String prefix, Weights weights, StateBinding binding) {
        for (String name : weights == null ? Collections.<String>emptySet() : weights.names()) {
            int[] shape = binding.specs.get(name).shape();
            tensors.put(prefix + name, Tensor.of(weights.raw(name), shape));
        }
    }

    /** A file's content, sealed behind a mark where there is a key. */
    static byte[] sealed(Seal seal, byte[] mark, byte[] content) {
        if (seal == null) {
            return content;
        }
        byte[] sealed = seal.seal(content, mark);
        byte[] whole = Arrays.copyOf(mark, mark.length + sealed.length);
        System.arraycopy(sealed, 0, whole, mark.length, sealed.length);
        return whole;
    }

    /** The inverse of {@link #sealed}, of a file that begins with the mark. */
    static byte[] opened(Seal seal, byte[] mark, byte[] content) throws SealException {
        return seal.open(Arrays.copyOfRange(content, mark.length, content.length), mark);
    }

    /** Whether a content begins with a mark. */
    static boolean begins(byte[] content, byte[] mark) {
        return content.length >= mark.length
                && Arrays.equals(Arrays.copyOf(content, mark.length), mark);
    }

    /**
     * The tensor file's bytes in a state file.
     *
     * @throws StateException it is sealed with another key, or was sealed and no key was given, or
     *     the other way round
     */
    static byte[] unsealed(File path, Seal seal) throws IOException, StateException {
        byte[] content = Storage.read(path);
        boolean sealed = begins(content, SEALED);
        if (seal == null && sealed) {
            throw new StateException(
                    path + " is encrypted: give its key when the recommender is made");
        }
        if (seal == null) {
            return content;
        }
        if (!sealed) {
            throw new StateException(
                    path
                            + " is not encrypted, and a key was given: leave the key out, or reset"
                            + " the state");
        }
        try {
            return opened(seal, SEALED, content);
        } catch (SealException error) {
            throw new StateException(
                    path
                            + " is damaged, or encrypted with another key: give its own key, or "
                            + StateMarks.wayOut(path, seal));
        }
    }

    /**
     * Reads a state file.
     *
     * @param binding of the bundle that it will be used with; null = of another model, whose
     *     history alone is of use
     * @param seal of the key that it was sealed with; null where it was not
     * @throws StateException missing, damaged, no state, of another format, model, tensor specs or
     *     vocabulary, or sealed with another key
     */
    static PersonalState read(File path, StateBinding binding, Seal seal)
            throws StateException {
        TensorFile read;
        try {
            if (!path.exists()) {
                throw new StateException(
                        "no state file "
                                + path
                                + ": "
                                + (States.previousOf(path).exists()
                                        ? "restore the previous generation with States.restore"
                                        : "save one first, or name another file"));
            }
            read = TensorFile.parse(unsealed(path, seal));
        } catch (IOException error) {
            throw new StateException(
                    "cannot read "
                            + path
                            + " ("
                            + Storage.reason(error)
                            + "): "
                            + StateMarks.wayOut(path, seal),
                    error);
        } catch (TensorFileException error) {
            if (!StateMarks.beginsLikeAState(path)) {
                throw new StateException(path + " is not a personal state: " + States.NOT_OURS);
            }
            throw new StateException(
                    path
                            + " is damaged ("
                            + error.getMessage()
                            + "): "
                            + StateMarks.wayOut(path, seal));
        }
        Map<String, String> metadata = read.metadata;
        if (!States.KIND.equals(metadata.get("kind"))) {
            throw new StateException(path + " is not a personal state: " + States.NOT_OURS);
        }
        if (!String.valueOf(Contract.FORMAT_VERSION).equals(metadata.get("format"))) {
            throw new StateException(
                    path
                            + " is of state format "
                            + metadata.get("format")
                            + " and this version reads "
                            + Contract.FORMAT_VERSION
                            + ": update pocketrec, or reset the state");
        }
        if (binding != null) {
            checkBinding(path, metadata, binding);
        }
        try {
            return state(read, binding);
        } catch (TensorFileException | JsonException | NumberFormatException error) {
            throw new StateException(
                    path
                            + " is wrong ("
                            + error.getMessage()
                            + "): "
                            + StateMarks.wayOut(path, seal));
        }
    }

    private static void checkBinding(
            File path, Map<String, String> metadata, StateBinding binding)
            throws ForeignStateException {
        for (Map.Entry<String, String> entry : binding.facts.entrySet()) {
            if (!entry.getValue().equals(metadata.get(entry.getKey()))) {
                throw new ForeignStateException(
                        path
                                + " belongs to another model ("
                                + entry.getKey()
                                + " differs): name its own bundle or another state, or reset it"
                                + " with States.reset to start again");
            }
        }
    }

    private static PersonalState state(TensorFile read, StateBinding binding)
            throws TensorFileException, JsonException {
        PersonalState.Change state = new PersonalState.Change();
        state.user = text(read, "user");
        state.store = read.metadata.getOrDefault("store", "");
        state.through = Long.parseLong(read.metadata.getOrDefault("through", "0"));
        state.forgotten = Integer.parseInt(read.metadata.getOrDefault("forgotten", "0"));
        state.learned = read.metadata.getOrDefault("learned", "");
        state.vocabulary = read.metadata.getOrDefault("vocabulary", "");
        state.trained = Integer.parseInt(text(read, "trained"));
        state.steps = Integer.parseInt(text(read, "steps"));
        state.generation = Integer.parseInt(text(read, "generation"));
        state.report = Table.of(Json.parse(text(read, "report")), "report").map();
        Tensor events = of(read, ROWS);
        state.rows = events.ints(0, events.elements());
        state.times = of(read, TIMES).doubles();
        checkHistory(state, binding == null ? Integer.MAX_VALUE : binding.rows);
        state.items = items(read, state.rows);
        if (binding != null) {
            state.weights = weights(read, WEIGHTS, binding.specs);
            state.pending = pending(read, binding.specs);
        }
        return state.made();
    }

    private static void checkHistory(PersonalState.Change state, int most)
            throws TensorFileException {
        if (state.rows.length != state.times.length) {
            throw new TensorFileException("rows and times differ in number");
        }
        for (int row : state.rows) {
            if (row < 1 || row > most) {
                throw new TensorFileException("a row of the history is not in the vocabulary");
            }
        }
        for (int place = 0; place < state.times.length; place++) {
            if (Double.isNaN(state.times[place])
                    || place > 0 && state.times[place] < state.times[place - 1]) {
                throw new TensorFileException("its times are not valid, or not in order");
            }
        }
        boolean negative =
                state.trained < 0
                        || state.steps < 0
                        || state.generation < 0
                        || state.through < 0
                        || state.forgotten < 0;
        if (negative || state.store.isEmpty() && state.trained > state.rows.length) {
            throw new TensorFileException("it has learned from more events than it holds");
        }
    }

    /** The ids of the different rows, where the file notes them. */
    private static List<String> items(TensorFile read, int[] rows)
            throws TensorFileException, JsonException {
        List<String> items = new ArrayList<>();
        Object noted = Json.parse(read.metadata.getOrDefault("items", "[]"));
        for (Object item : noted instanceof List ? (List<?>) noted : Arrays.asList(0)) {
            if (!(item instanceof String)) {
                throw new TensorFileException("its item ids are not a list of texts");
            }
            items.add((String) item);
        }
        if (!items.isEmpty() && items.size() != Arrays.stream(rows).distinct().count()) {
            throw new TensorFileException("its item ids are not those of its history");
        }
        return items;
    }

    private static Pending pending(TensorFile read, Map<String, TensorSpec> specs)
            throws TensorFileException, JsonException {
        String told = read.metadata.get("pending");
        if (told == null) {
            return null;
        }
        Weights weights = weights(read, PENDING, specs);
        if (weights == null) {
            throw new TensorFileException("it lacks the weights of a stopped training");
        }
        return Pending.of(told, weights);
    }

    /** Weights under a prefix; null where there are none. */
    private static Weights weights(
            TensorFile read, String prefix, Map<String, TensorSpec> specs)
            throws TensorFileException {
        Map<String, float[]> weights = new TreeMap<>();
        for (Map.Entry<String, Tensor> entry : read.tensors.entrySet()) {
            if (entry.getKey().startsWith(prefix)) {
                String name = entry.getKey().substring(prefix.length());
                TensorSpec spec = specs.get(name);
                if (spec == null || !Arrays.equals(spec.shape(), entry.getValue().shape)) {
                    throw new TensorFileException(
                            name + " is " + entry.getValue() + " and the model's is " + spec);
                }
                weights.put(name, entry.getValue().floats());
            }
        }
        if (weights.isEmpty()) {
            return null;
        }
        if (weights.size() != specs.size()) {
            throw new TensorFileException("it lacks weights");
        }
        Weights personal = new Weights(weights);
        if (!personal.finite()) {
            throw new TensorFileException("it has weights that are not numbers");
        }
        return personal;
    }

    private static Tensor of(TensorFile read, String name) throws TensorFileException {
        Tensor tensor = read.tensors.get(name);
        if (tensor == null) {
            throw new TensorFileException("it lacks " + name);
        }
        return tensor;
    }

    private static String text(TensorFile read, String name) throws TensorFileException {
        String text = read.metadata.get(name);
        if (text == null) {
            throw new TensorFileException("it lacks " + name);
        }
        return text;
    }
}
