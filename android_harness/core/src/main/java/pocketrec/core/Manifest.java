// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * manifest.json: what a bundle holds, with the hash of every file. The only class that knows its
 * keys.
 */
public final class Manifest {
    private static final String AGAIN = "fetch or export the bundle again";

    private static final long EXACT = 1L << 53; // beyond it JSON readers round
    private static final long PACKED = 1L << 31; // bytes of a packed model
    private static final double LATEST = 9223372036854775808.0; // a cut-off is smaller

    /** SHA-256 of model.tflite; a personal state is bound to it. */
    public final String modelId;

    /** When the bundle was made, ISO 8601, UTC. */
    public final String created;

    /** Every other file, by its path inside the bundle (with /). */
    public final Map<String, FileEntry> files;

    /** Number N of items. */
    public final int items;

    /** SHA-256 of items.txt. */
    public final String vocabularySha256;

    /**
     * Facts about the model: backbone, way, optimizer, window, batch, embedding and so on, as JSON
     * values.
     */
    public final Map<String, Object> model;

    /** Trainable tensors, in the exporter's order. */
    public final List<TensorSpec> trainable;

    /** Optimiser slots. */
    public final List<TensorSpec> slots;

    /** Frozen tensors. */
    public final List<TensorSpec> frozen;

    /**
     * Time of the log's cut-off: events at or after it are for the device to learn from; null = all
     * are.
     */
    public final Double cutOff;

    /** Number of files under candidates/. */
    public final int shards;

    /** Candidate rows K of one user; 0 where there are none. */
    public final int perUser;

    /**
     * Size in bytes of the model that skeleton and weights make; 0 where the model file itself is
     * listed.
     */
    public final long packedBytes;

    /** Where the item table is lean: its rows of popular items, the first ones; -1 = it is not. */
    public final int leanHead;

    /** Where the item table is lean: its rows that the user's candidate shard fills; else 0. */
    public final int leanReserved;

    /** Items that the model file finds in the whole catalogue; 0 = it does not search it. */
    public final int retrieved;

    /** Lists of index/lists.bin that are looked into; -1 = there are none. */
    final int probes;

    /**
     * How an embedding meets item rows; this version knows {@link Contract#INNER_PRODUCT}, and
     * {@link Contract#RANKNET}, whose second stage is the file's own signature.
     */
    public final String ranker;

    /** Whether items that the user has had are left out of recommendations. */
    public final boolean maskSeen;

    /**
     * SHA-256 of the trainable tensors' and slots' names, shapes and dtypes; a personal state is
     * bound to it.
     */
    public final String specsSha256;

    private Manifest(Table table) throws JsonException {
        ManifestChecks.checkKinds(table.map());
        modelId = table.text("model_id");
        created = table.text("created");
        Map<String, FileEntry> entries = new LinkedHashMap<>();
        Table listed = table.table("files");
        for (String name : listed.names()) {
            ManifestChecks.checkName(name);
            Table entry = listed.table(name);
            for (String key : entry.names()) {
                if (!key.equals("bytes") && !key.equals("sha256")) {
                    throw new JsonException("unknown key files." + name + "." + key);
                }
            }
            String sha256 = entry.text("sha256");
            if (!sha256.matches("[0-9a-f]{64}")) {
                throw new JsonException("files." + name + ".sha256 must be 64 hexadecimal digits");
            }
            long bytes = ManifestChecks.count(entry, "bytes", "files." + name + ".", 0, EXACT);
            entries.put(name, new FileEntry(bytes, sha256));
        }
        ManifestChecks.checkDifferent(entries.keySet());
        files = Collections.unmodifiableMap(entries);
        Table vocabulary = table.table("vocabulary");
        items = vocabulary.whole("items", 1);
        vocabularySha256 = vocabulary.text("sha256");
        model = table.table("model").map();
        for (String name : new String[] {"embedding", "candidates"}) {
            if (model.containsKey(name)) {
                ManifestChecks.count(table.table("model"), name, "model.", 1, EXACT);
            }
        }
        Table tensors = table.table("tensors");
        trainable = specs(tensors, "trainable");
        slots = specs(tensors, "slots");
        frozen = specs(tensors, "frozen");
        Map<String, Object> bound = new LinkedHashMap<>();
        bound.put("trainable", tensors.list("trainable"));
        bound.put("slots", tensors.list("slots"));
        specsSha256 =
                Storage.hex(
                        Storage.sha256()
                                .digest(Json.canonical(bound).getBytes(StandardCharsets.US_ASCII)));
        cutOff = table.optionalNumber("cut_off");
        if (cutOff != null && !(Math.abs(cutOff) < LATEST)) {
            throw new JsonException("cut_off is out of range");
        }
        Table candidates = table.table("candidates");
        shards = candidateCount(candidates, "shards");
        perUser = candidateCount(candidates, "per_user");
        maskSeen = table.flag("mask_seen", false);
        ranker = table.text("ranker", Contract.INNER_PRODUCT);
        if (!ranker.equals(Contract.INNER_PRODUCT) && !ranker.equals(Contract.RANKNET)) {
            throw new JsonException(
                    "its ranker '"
                            + ranker
                            + "' is not "
                            + Contract.INNER_PRODUCT
                            + " or "
                            + Contract.RANKNET);
        }
        Table retrieval = table.table("retrieval");
        retrieved = retrieval.names().isEmpty() ? 0 : retrieval.whole("k", 1);
        boolean inLists = "lists".equals(retrieval.text("kind", "exhaustive"));
        probes = inLists ? retrieval.whole("probes", 0, 0) : -1;
        packedBytes =
                table.table("packed").names().isEmpty()
                        ? 0
                        : ManifestChecks.count(
                                table.table("packed"), "bytes", "packed.", 1, PACKED);
        Table lean = table.table("lean");
        boolean isLean = !lean.names().isEmpty();
        leanHead = isLean ? lean.whole("head", 0) : -1;
        leanReserved = isLean ? lean.whole("reserved", 0) : 0;
        if (isLean && (leanHead + lean.whole("buckets", 0) != items || packedBytes == 0)) {
            throw new JsonException("the counts of the lean table do not fit");
        }
        List<String> required =
                new ArrayList<>(Arrays.asList(Contract.ITEMS_FILE, Contract.RECIPE_FILE));
        required.addAll(
                packedBytes > 0
                        ? Arrays.asList(Contract.SKELETON_FILE, Contract.WEIGHTS_FILE)
                        : Arrays.asList(Contract.MODEL_FILE));
        for (String name : required) {
            if (!files.containsKey(name)) {
                throw new JsonException("it does not list " + name);
            }
        }
        if (packedBytes == 0 && !files.get(Contract.MODEL_FILE).sha256.equals(modelId)) {
            throw new JsonException("the model id is not the hash of " + Contract.MODEL_FILE);
        }
    }

    /**
     * Reads and checks the content of manifest.json.
     *
     * @param content the bytes
     * @param place the bundle, for messages
     * @throws BundleException not JSON, of another format, a key is missing, or a file's name
     *     points outside the bundle
     */
    public static Manifest parse(byte[] content, String place) throws BundleException {
        Table table;
        try {
            table = Table.of(Json.parse(content), "it");
        } catch (JsonException error) {
            throw new BundleException(
                    place + ": " + Contract.MANIFEST_FILE + " is cut short or altered: " + AGAIN);
        }
        Object version = table.map().get("format_version");
        if (!Long.valueOf(Contract.FORMAT_VERSION).equals(version)) {
            throw new BundleException(
                    place
                            + " is of bundle format "
                            + version
                            + " and this version of pocketrec reads "
                            + Contract.FORMAT_VERSION
                            + ": update pocketrec, or use another bundle");
        }
        try {
            ManifestChecks.checkTexts(table.map());
            return new Manifest(table);
        } catch (JsonException error) {
            throw new BundleException(
                    place
                            + ": "
                            + Contract.MANIFEST_FILE
                            + " is wrong ("
                            + error.getMessage()
                            + "): "
                            + AGAIN);
        }
    }

    /** A whole number among the facts about the model; -1 where it is not there. */
    int fact(String name) {
        Object value = model.get(name);
        return value instanceof Long ? (int) Math.min((Long) value, Integer.MAX_VALUE) : -1;
    }

    private static int candidateCount(Table candidates, String name) throws JsonException {
        return candidates.has(name)
                ? (int) ManifestChecks.count(candidates, name, "candidates.", 0, Integer.MAX_VALUE)
                : 0;
    }

    private static List<TensorSpec> specs(Table tensors, String kind) throws JsonException {
        List<TensorSpec> specs = new ArrayList<>();
        for (Object one : tensors.list(kind)) {
            Table entry = Table.of(one, "a tensor");
            List<?> sizes = entry.list("shape");
            int[] shape = new int[sizes.size()];
            for (int place = 0; place < shape.length; place++) {
                if (!(sizes.get(place) instanceof Long)) {
                    throw new JsonException("a shape is not made of whole numbers");
                }
                shape[place] = (int) (long) (Long) sizes.get(place);
            }
            specs.add(new TensorSpec(entry.text("name"), entry.text("dtype"), shape));
        }
        return Collections.unmodifiableList(specs);
    }

    /** One file of a bundle. */
    public static final class FileEntry {
        /** Its size. */
        public final long bytes;

        /** SHA-256 of its content, 64 lower-case hexadecimal digits. */
        public final String sha256;

        FileEntry(long bytes, String sha256) {
            this.bytes = bytes;
            this.sha256 = sha256;
        }
    }
}
