// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * A patch: one tensor file with what a task puts beside a frozen backbone, and the task's own items
 * or classes; the very format of device/contract/patch.py.
 *
 * <p>It is checked when it is opened: its checksum, its model, its tensors. Signatures are not: who
 * fetches a patch verifies them.
 */
public final class Patch {
    private static final String SCALES = "/scales";
    private static final String AGAIN = ": pull or publish it again";
    private static final int FIELD = "\",\"signature\":\"".length();
    private static final int SIGNATURES_AT = 8 + TensorFile.MARK.length + 64 + FIELD;

    /** Name of the task. */
    public final String task;

    /** Whether it tells the class of a user, and not items. */
    public final boolean profile;

    /** Items or classes by row of the head, from 1. */
    public final List<String> ids;

    /** Its number among the published ones; 0 = not published. */
    public final long serial;

    /** SHA-256 of the content, without signatures. */
    final String sha256;

    /** How a device makes it personal. */
    final Recipe recipe;

    /** The bonus for repeats of the task. */
    final Repeats repeats;

    /** The model's trainable tensors by name. */
    final Map<String, float[]> tensors;

    private final float[] rows; // [M + 1, E], whole numbers where there are scales
    private final float[] scales; // [M + 1]; null = the rows are as they are
    private final float[] biases; // [M + 1]
    private final int size;

    private Patch(TensorFile file, byte[] content, String task, Manifest manifest)
            throws TensorFileException, BundleException, JsonException {
        Map<String, String> about = file.metadata;
        if (!about.getOrDefault("signature", "").matches("([0-9a-f]{128}){1,8}")) {
            throw new TensorFileException("it is no patch: it has no field for signatures");
        }
        Map<String, Tensor> left = new LinkedHashMap<>(file.tensors);
        this.task = task;
        String kind = about.get("kind");
        profile = kind.equals("profile");
        String number = about.get("serial");
        if (!(profile || kind.equals("items")) || !number.matches("0|[1-9][0-9]{0,14}")) {
            throw new TensorFileException("its kind or number is malformed");
        }
        about.get("way").length(); // it is there
        Table.of(Json.parse(about.get("settings")), "the settings");
        serial = Long.parseLong(number);
        recipe = Recipe.parse(about.get("recipe").getBytes(StandardCharsets.UTF_8));
        repeats = recipe.repeats;
        sha256 = Storage.hex(Storage.sha256().digest(statement(content)));
        ids = ids(left.remove("ids/text"), left.remove("ids/ends"));
        Tensor head = left.remove("head_rows");
        Tensor headScales = left.remove("head_rows" + SCALES);
        Tensor own = profile ? left.remove("head_biases") : null;
        size = ((Number) manifest.model.get("embedding")).intValue();
        if (head.shape.length != 2 || head.shape[0] != ids.size() + 1 || head.shape[1] != size) {
            throw new TensorFileException("its head does not fit its ids");
        }
        rows = numbers(head, headScales, "head_rows");
        scales =
                headScales == null
                        ? null
                        : factors(headScales, new int[] {ids.size() + 1, 1}, "head_rows");
        biases =
                own == null
                        ? new float[ids.size() + 1]
                        : finite(own.floats(), "head_biases");
        if ((scales != null && scales.length != ids.size() + 1)
                || biases.length != ids.size() + 1
                || (own == null) == profile) {
            throw new TensorFileException("its head does not fit its ids");
        }
        tensors = tensors(left, manifest);
    }

    /** Where the patch of a task lies in a bundle's folder. */
    public static File file(File folder, String task) throws BundleException {
        if (!task.matches("[A-Za-z_][A-Za-z0-9_]{0,99}")) {
            throw new BundleException(
                    "'"
                            + task
                            + "' is not the name of a task: it is a word of letters, digits and"
                            + " _");
        }
        return new File(new File(folder, Contract.PATCHES_FOLDER), task + ".tensors");
    }

    /** Names of the tasks whose patches lie in a bundle's folder. */
    static List<String> tasks(File folder) {
        String[] names = new File(folder, Contract.PATCHES_FOLDER).list();
        List<String> found = new ArrayList<>();
        for (String name : names == null ? new String[0] : names) {
            if (name.endsWith(".tensors")) {
                found.add(name.substring(0, name.length() - ".tensors".length()));
            }
        }
        Collections.sort(found);
        return found;
    }

    /**
     * The patch of a task in a bundle's folder.
     *
     * @throws BundleException there is none, or it is cut short, altered, or of another model or
     *     task
     */
    static Patch open(Bundle bundle, String task) throws BundleException {
        File file = file(bundle.folder, task);
        String place = "the patch " + file;
        try {
            return check(Storage.read(file), bundle.manifest, task, place);
        } catch (NoSuchFileException | FileNotFoundException error) {
            List<String> here = tasks(bundle.folder);
            throw new BundleException(
                    bundle.folder
                            + " has no task '"
                            + task
                            + "' (it has "
                            + (here.isEmpty() ? "none" : String.join(", ", here))
                            + "): pull its patch, or name another");
        } catch (IOException error) {
            throw new BundleException(
                    place + " cannot be read (" + Storage.reason(error) + ")" + AGAIN);
        }
    }

    /**
     * A patch from its bytes; signatures are not looked at.
     *
     * @param content the file
     * @param manifest of the bundle that it is to be used with
     * @param task what is wanted
     * @param place for messages
     * @throws BundleException it is cut short, altered, or of another model or task
     */
    public static Patch check(byte[] content, Manifest manifest, String task, String place)
            throws BundleException {
        try {
            TensorFile file = TensorFile.parse(content);
            Map<String, String> about = file.metadata;
            String mark =
                    new String(content, SIGNATURES_AT - FIELD, FIELD, StandardCharsets.US_ASCII);
            if (!mark.equals("\",\"signature\":\"")) {
                throw new TensorFileException("it is no patch: it has no field for signatures");
            }
            if (!Contract.PATCH_FORMAT.equals(about.get("format"))) {
                throw new TensorFileException(
                        "its format is '"
                                + about.get("format")
                                + "' and this version of pocketrec reads '"
                                + Contract.PATCH_FORMAT
                                + "'");
            }
            if (!task.equals(about.get("task"))) {
                throw new BundleException(
                        place
                                + " is of task '"
                                + about.get("task")
                                + "' and not '"
                                + task
                                + "'"
                                + AGAIN);
            }
            String model = about.get("model");
            if (!manifest.modelId.equals(model)) {
                throw new BundleException(
                        place
                                + " belongs to another model: pull or take the patch that was tuned"
                                + " on this one");
            }
            return new Patch(file, content, task, manifest);
        } catch (TensorFileException | JsonException | RuntimeException error) {
            throw new BundleException(
                    place + " cannot be used (" + error.getMessage() + ")" + AGAIN);
        }
    }

    /**
     * What is signed: the file with the digits of its checksum and signatures as zeros, by its
     * SHA-256.
     *
     * @param content a patch that {@link #check} has taken
     */
    public static byte[] statement(byte[] content) {
        byte[] plain = content.clone();
        Arrays.fill(plain, SIGNATURES_AT - FIELD - 64, SIGNATURES_AT - FIELD, (byte) '0');
        Arrays.fill(plain, SIGNATURES_AT, end(content), (byte) '0');
        String digest = Storage.hex(Storage.sha256().digest(plain));
        return ("pocketrec patch\n" + digest).getBytes(StandardCharsets.US_ASCII);
    }

    /**
     * The signatures of a patch, 128 hexadecimal digits each; none where it is not signed.
     *
     * @param content a patch that {@link #check} has taken
     */
    public static List<String> signatures(byte[] content) {
        String digits =
                new String(
                        Arrays.copyOfRange(content, SIGNATURES_AT, end(content)),
                        StandardCharsets.US_ASCII);
        List<String> found = new ArrayList<>();
        for (int place = 0; place + 128 <= digits.length(); place += 128) {
            String one = digits.substring(place, place + 128);
            if (!one.matches("0{128}")) {
                found.add(one);
            }
        }
        return found;
    }

    private static int end(byte[] content) {
        int end = SIGNATURES_AT;
        while (content[end] != '"') {
            end++;
        }
        return end;
    }

    /** Scores, float [n], of rows of the head, int [n] from 1, for a user embedding, float [E]. */
    float[] scores(float[] user, int[] chosen) throws StateException {
        float[] scores = new float[chosen.length];
        for (int place = 0; place < chosen.length; place++) {
            int row = chosen[place];
            double sum = 0;
            for (int at = 0; at < size; at++) {
                sum += rows[row * size + at] * user[at];
            }
            float score = (float) sum;
            scores[place] = (scales == null ? score : score * scales[row]) + biases[row];
            if (Float.isNaN(scores[place]) || Float.isInfinite(scores[place])) {
                throw new StateException(
                        "the weights of the task give scores that are not numbers: reset the state,"
                                + " or pull the task again");
            }
        }
        return scores;
    }

    /** All rows of the head, int [M], from 1. */
    int[] all() {
        int[] every = new int[ids.size()];
        Arrays.setAll(every, place -> place + 1);
        return every;
    }

    /** Rows of the head, float [n * E]; of row 0 the padding's. */
    float[] head(int[] chosen) {
        float[] head = new float[chosen.length * size];
        for (int place = 0; place < head.length; place++) {
            int row = chosen[place / size];
            float number = rows[row * size + place % size];
            head[place] = scales == null ? number : number * scales[row];
        }
        return head;
    }

    /** Biases of rows of the head, float [n]; of row 0 {@code absent}. */
    float[] biases(int[] chosen, float absent) {
        float[] found = new float[chosen.length];
        for (int place = 0; place < found.length; place++) {
            found[place] = chosen[place] == 0 ? absent : biases[chosen[place]];
        }
        return found;
    }

    /** What the model is to hold: the patch's tensors, and fresh slots. */
    Weights weights(Weights reference) {
        Map<String, float[]> values = new TreeMap<>();
        for (String name : reference.names()) {
            float[] own = tensors.get(name);
            values.put(name, own == null ? reference.raw(name) : own);
        }
        return new Weights(values);
    }

    private static List<String> ids(Tensor text, Tensor ends) throws TensorFileException {
        if (!text.dtype.equals("U8") || !ends.dtype.equals("U32")
                || text.shape.length != 1 || ends.shape.length != 1) {
            throw new TensorFileException("its ids are malformed");
        }
        int[] places = ends.ints(0, ends.elements());
        byte[] bytes = new byte[text.elements()];
        text.bytes().get(bytes);
        if (places.length < 3 || places[0] != 0 || places[places.length - 1] != bytes.length) {
            throw new TensorFileException("its ids are malformed, or fewer than two");
        }
        List<String> ids = new ArrayList<>();
        for (int place = 1; place < places.length; place++) {
            if (places[place] <= places[place - 1]) {
                throw new TensorFileException("its ids are malformed");
            }
            byte[] one = Arrays.copyOfRange(bytes, places[place - 1], places[place]);
            String id = new String(one, StandardCharsets.UTF_8);
            if (!Arrays.equals(id.getBytes(StandardCharsets.UTF_8), one)) {
                throw new TensorFileException("an id of its is not UTF-8");
            }
            ids.add(id);
        }
        if (new HashSet<>(ids).size() != ids.size()) {
            throw new TensorFileException("two of its ids are the same");
        }
        return Collections.unmodifiableList(ids);
    }

    private static Map<String, float[]> tensors(Map<String, Tensor> left, Manifest manifest)
            throws TensorFileException {
        Map<String, float[]> found = new HashMap<>();
        for (TensorSpec spec : manifest.trainable) {
            Tensor tensor = left.remove(spec.name);
            Tensor scale = left.remove(spec.name + SCALES);
            if (tensor == null || !Arrays.equals(tensor.shape, spec.shape())) {
                throw new TensorFileException("it has other tensors than the model's");
            }
            float[] values = numbers(tensor, scale, spec.name);
            if (scale != null) {
                int[] shape = spec.shape();
                shape[0] = 1;
                float[] factors = factors(scale, shape, spec.name);
                for (int place = 0; place < values.length; place++) {
                    values[place] *= factors[place % factors.length];
                }
            }
            found.put(spec.name, finite(values, spec.name));
        }
        if (!left.isEmpty()) {
            throw new TensorFileException("it has other tensors than the model's");
        }
        return found;
    }

    /** The elements: int8 where there are scales, else finite float32. */
    private static float[] numbers(Tensor tensor, Tensor scales, String name)
            throws TensorFileException {
        if (scales != null && (!tensor.dtype.equals("I8") || tensor.shape.length < 2)) {
            throw new TensorFileException("its tensor " + name + " is malformed");
        }
        return finite(scales == null ? tensor.floats() : tensor.values(), name);
    }

    /** Scales above 0, of a shape. */
    private static float[] factors(Tensor scales, int[] shape, String name)
            throws TensorFileException {
        float[] factors = finite(scales.floats(), name + SCALES);
        boolean good = Arrays.equals(scales.shape, shape);
        for (float factor : factors) {
            good &= factor > 0 && !Float.isInfinite(factor * 128);
        }
        if (!good) {
            throw new TensorFileException("the scales of " + name + " do not fit");
        }
        return factors;
    }

    private static float[] finite(float[] values, String name) throws TensorFileException {
        for (float value : values) {
            if (Float.isNaN(value) || Float.isInfinite(value)) {
                throw new TensorFileException("not all of its tensor " + name + " is finite");
            }
        }
        return values;
    }
}
