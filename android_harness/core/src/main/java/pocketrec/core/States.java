package pocketrec.core;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The file of a personal state: a tensor file bound to the model, its tensor specs and its
 * vocabulary. The very format of device/state/file.py, so a state that one runner writes the other
 * reads.
 *
 * <p>Writing keeps the previous generation beside it under {@code NAME.previous}. A damaged or
 * foreign file is never used, nor silently replaced.
 */
public final class States {
    private static final String WEIGHTS =
            "weights/"; // prefix of trainable tensors and slots in the file
    private static final String ROWS = "history/rows";
    private static final String TIMES = "history/times";
    private static final String KIND = "pocketrec personal state";
    private static final String NOT_OURS = "name another file, or remove this one";
    private static final String SEALED =
            "pocketrec sealed 1\n"; // how the Python runner's encrypted states begin

    private States() {}

    /** Where the previous generation of a state file is kept. */
    public static File previousOf(File path) {
        return new File(path.getAbsoluteFile().getParentFile(), path.getName() + ".previous");
    }

    /** Whether there is a state or a previous generation of one. */
    public static boolean exists(File path) {
        return path.exists() || previousOf(path).exists();
    }

    /**
     * Writes a state atomically, readable by its owner only; the file that was there becomes the
     * previous generation.
     *
     * @throws StorageException full storage, or no permission; the old state is still good
     */
    static void save(File path, PersonalState state, Bundle bundle) throws StorageException {
        Map<String, String> metadata = new LinkedHashMap<>();
        metadata.put("kind", KIND);
        metadata.put("format", String.valueOf(Contract.FORMAT_VERSION));
        metadata.putAll(binding(bundle.manifest));
        metadata.put("user", state.user);
        metadata.put("trained", String.valueOf(state.trained));
        metadata.put("steps", String.valueOf(state.steps));
        metadata.put("generation", String.valueOf(state.generation));
        metadata.put("report", Json.write(state.report));
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        tensors.put(ROWS, Tensor.of(state.rawRows()));
        tensors.put(TIMES, Tensor.of(state.rawTimes()));
        if (state.weights != null) {
            Map<String, TensorSpec> specs = specs(bundle.manifest);
            for (String name : state.weights.names()) {
                tensors.put(
                        WEIGHTS + name,
                        Tensor.of(state.weights.raw(name), specs.get(name).shape()));
            }
        }
        Storage.writeAtomic(path, new TensorFile(tensors, metadata).dump(), previousOf(path));
    }

    /**
     * Reads a state file.
     *
     * @param path the file
     * @param bundle the bundle that it will be used with
     * @throws StateException missing, damaged, no state, of another format, or of another model,
     *     tensor specs or vocabulary
     */
    public static PersonalState load(File path, Bundle bundle) throws StateException {
        TensorFile read;
        try {
            if (!path.exists()) {
                throw new StateException(
                        "no state file "
                                + path
                                + ": "
                                + (previousOf(path).exists()
                                        ? "restore the previous generation with States.restore"
                                        : "save one first, or name another file"));
            }
            read = TensorFile.load(path);
        } catch (IOException error) {
            throw new StateException(
                    "cannot read " + path + " (" + Storage.reason(error) + "): " + wayOut(path),
                    error);
        } catch (TensorFileException error) {
            if (sealed(path)) {
                throw new StateException(
                        path + " is encrypted, which this runner does not read: name another file");
            }
            if (!beginsLikeAState(path)) {
                throw new StateException(path + " is not a personal state: " + NOT_OURS);
            }
            throw new StateException(
                    path + " is damaged (" + error.getMessage() + "): " + wayOut(path));
        }
        Map<String, String> metadata = read.metadata;
        if (!KIND.equals(metadata.get("kind"))) {
            throw new StateException(path + " is not a personal state: " + NOT_OURS);
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
        for (Map.Entry<String, String> entry : binding(bundle.manifest).entrySet()) {
            if (!entry.getValue().equals(metadata.get(entry.getKey()))) {
                throw new StateException(
                        path
                                + " belongs to another model ("
                                + entry.getKey()
                                + " differs): name its own bundle or another state, or reset it"
                                + " with States.reset to start again");
            }
        }
        if (!metadata.getOrDefault("store", "").isEmpty()) {
            throw new StateException(
                    path
                            + " has its events in an event store, which this runner does not read: "
                            + "name a state that was made without one");
        }
        try {
            return state(read, bundle);
        } catch (TensorFileException | JsonException | NumberFormatException error) {
            throw new StateException(
                    path + " is wrong (" + error.getMessage() + "): " + wayOut(path));
        }
    }

    /**
     * Puts the previous generation in the place of the current one, after checking it.
     *
     * @throws StateException there is none, or it is damaged or of another model; nothing was
     *     changed
     * @throws StorageException the file cannot be moved
     */
    public static PersonalState restore(File path, Bundle bundle) throws PocketRecException {
        File previous = previousOf(path);
        if (!previous.exists()) {
            throw new StateException(
                    "no previous generation " + previous + ": reset the state to start again");
        }
        PersonalState state = load(previous, bundle);
        try {
            Files.move(
                    previous.toPath(),
                    path.toPath(),
                    StandardCopyOption.REPLACE_EXISTING,
                    StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException error) {
            throw Storage.failed(path, error);
        }
        return state;
    }

    /**
     * Deletes a state and its previous generation; the device is then as before any event. A
     * damaged one is deleted too, as long as it begins like a state.
     *
     * @return the files deleted
     * @throws StateException a file is there that is not a personal state; nothing was deleted
     * @throws StorageException a file cannot be deleted
     */
    public static List<File> reset(File path) throws PocketRecException {
        List<File> files = Arrays.asList(path, previousOf(path));
        for (File file : files) {
            if (file.exists() && !beginsLikeAState(file)) {
                throw new StateException(
                        file + " is not a personal state and was not deleted: " + NOT_OURS);
            }
        }
        List<File> deleted = new ArrayList<>();
        for (File file : files) {
            try {
                if (Files.deleteIfExists(file.toPath())) {
                    deleted.add(file);
                }
            } catch (IOException error) {
                throw Storage.failed(file, error);
            }
        }
        return deleted;
    }

    private static PersonalState state(TensorFile read, Bundle bundle)
            throws TensorFileException, JsonException {
        Map<String, TensorSpec> specs = specs(bundle.manifest);
        Map<String, float[]> weights = new TreeMap<>();
        for (Map.Entry<String, Tensor> entry : read.tensors.entrySet()) {
            if (entry.getKey().startsWith(WEIGHTS)) {
                String name = entry.getKey().substring(WEIGHTS.length());
                TensorSpec spec = specs.get(name);
                if (spec == null || !Arrays.equals(spec.shape(), entry.getValue().shape)) {
                    throw new TensorFileException(
                            name + " is " + entry.getValue() + " and the model's is " + spec);
                }
                weights.put(name, entry.getValue().floats());
            }
        }
        if (!weights.isEmpty() && weights.size() != specs.size()) {
            throw new TensorFileException("it lacks weights");
        }
        Tensor events = of(read, ROWS);
        int[] rows = events.ints(0, events.elements());
        double[] times = of(read, TIMES).doubles();
        if (rows.length != times.length) {
            throw new TensorFileException("rows and times differ in number");
        }
        for (int row : rows) {
            if (row < 1 || row > bundle.manifest.items + bundle.manifest.leanReserved) {
                throw new TensorFileException("a row of the history is not in the vocabulary");
            }
        }
        for (int place = 0; place < times.length; place++) {
            if (Double.isNaN(times[place]) || place > 0 && times[place] < times[place - 1]) {
                throw new TensorFileException("its times are not valid, or not in order");
            }
        }
        int trained = Integer.parseInt(text(read, "trained"));
        int steps = Integer.parseInt(text(read, "steps"));
        if (trained < 0 || trained > rows.length || steps < 0) {
            throw new TensorFileException("it has learned from more events than it holds");
        }
        Weights personal = weights.isEmpty() ? null : new Weights(weights);
        if (personal != null && !personal.finite()) {
            throw new TensorFileException("it has weights that are not numbers");
        }
        return new PersonalState(
                text(read, "user"),
                rows,
                times,
                personal,
                trained,
                steps,
                Table.of(Json.parse(text(read, "report")), "report").map(),
                Integer.parseInt(text(read, "generation")));
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

    private static Map<String, TensorSpec> specs(Manifest manifest) {
        Map<String, TensorSpec> specs = new TreeMap<>();
        for (List<TensorSpec> kind : Arrays.asList(manifest.trainable, manifest.slots)) {
            for (TensorSpec spec : kind) {
                specs.put(spec.name, spec);
            }
        }
        return specs;
    }

    private static Map<String, String> binding(Manifest manifest) {
        Map<String, String> binding = new LinkedHashMap<>();
        binding.put("model_id", manifest.modelId);
        binding.put("specs", manifest.specsSha256);
        binding.put("vocabulary", manifest.vocabularySha256);
        return binding;
    }

    private static boolean sealed(File path) throws StateException {
        return new String(head(path, SEALED.length()), StandardCharsets.ISO_8859_1).equals(SEALED);
    }

    private static byte[] head(File path, int most) throws StateException {
        try {
            return Storage.head(path, most);
        } catch (IOException error) {
            throw new StateException(
                    "cannot read " + path + " (" + Storage.reason(error) + "): " + NOT_OURS, error);
        }
    }

    /**
     * Whether a file is a state or the first part of one, whole or damaged after its beginning, or
     * encrypted.
     */
    private static boolean beginsLikeAState(File path) throws StateException {
        if (sealed(path)) {
            return true;
        }
        byte[] kind = ("\",\"kind\":\"" + KIND + "\"").getBytes(StandardCharsets.US_ASCII);
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

    private static String wayOut(File path) {
        File previous = previousOf(path);
        try {
            TensorFile.load(previous);
            return "restore " + previous + ", which is good, with States.restore";
        } catch (IOException | TensorFileException error) {
            return "reset it with States.reset to start again from the global model";
        }
    }
}
