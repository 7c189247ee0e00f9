// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/**
 * A bundle: the folder that the cloud publishes and a device opens.
 *
 * <p>Opening checks format, size and SHA-256 of every file; a later opening of the same untouched
 * files skips the hashing. A candidate shard is read only when a user of it is asked for. This
 * class knows nothing about training.
 */
public final class Bundle {
    static final String AGAIN = ": fetch or export the bundle again";

    /** Where the files lie. */
    public final File folder;

    /** What the bundle holds. */
    public final Manifest manifest;

    /** How a device makes the model personal. */
    public final Recipe recipe;

    /** Item ids and rows. */
    public final Vocabulary vocabulary;

    private final File model;
    final Neighbours.Held neighbours;
    final ItemLists.Held lists;
    private final Titles titles;

    private Bundle(
            File folder, Manifest manifest, Recipe recipe, Vocabulary vocabulary, File model) {
        this.folder = folder;
        this.manifest = manifest;
        this.recipe = recipe;
        this.vocabulary = vocabulary;
        this.model = model;
        neighbours = new Neighbours.Held(folder, manifest);
        lists = new ItemLists.Held(folder, manifest);
        titles = new Titles(folder, manifest);
    }

    /**
     * Opens a bundle and verifies it; of a packed one, the first opening makes the model file.
     *
     * @param folder the bundle's folder
     * @throws BundleException missing, of another format, cut short, altered, or with names that
     *     point outside
     * @throws StorageException the model of a packed bundle could not be written
     */
    public static Bundle open(File folder) throws PocketRecException {
        byte[] content;
        try {
            content = Storage.read(new File(folder, Contract.MANIFEST_FILE));
        } catch (IOException error) {
            throw new BundleException(
                    "no bundle at "
                            + folder
                            + " ("
                            + Contract.MANIFEST_FILE
                            + " cannot be read): name the folder of a bundle",
                    error);
        }
        Manifest manifest = Manifest.parse(content, folder.toString());
        Verified.check(folder, manifest, Storage.hex(Storage.sha256().digest(content)));
        Packed.install(folder, manifest);
        try {
            Recipe recipe = Recipe.parse(Storage.read(new File(folder, Contract.RECIPE_FILE)));
            Vocabulary vocabulary = vocabulary(folder, manifest, Collections.emptyList());
            File model = new File(folder, Contract.MODEL_FILE);
            return new Bundle(folder, manifest, recipe, vocabulary, model);
        } catch (IOException error) {
            throw unreadable(folder, Contract.RECIPE_FILE, Storage.reason(error));
        }
    }

    /**
     * Unpacks the .zip of a bundle and verifies it; to be opened with {@link #open} afterwards. A
     * bundle that was in {@code folder} stays until the new one is there and good.
     *
     * @throws BundleException the archive is missing, cut short, altered, or no bundle
     * @throws StorageException full storage, or no permission
     */
    public static void unpack(File archive, File folder) throws PocketRecException {
        Archive.unpack(archive, folder);
    }

    /** The .tflite file. */
    public File modelFile() {
        return model;
    }

    /**
     * The bundle as this user's device has it: itself, or of a lean one the table with the items of
     * the user's candidate shard filled in.
     *
     * @param user user id; null = an unnamed user
     * @throws BundleException the shard is missing, cut short or altered
     * @throws StorageException the model file cannot be written
     */
    public Bundle forUser(String user) throws PocketRecException {
        if (manifest.leanHead < 0 || manifest.shards == 0 || user == null) {
            return this;
        }
        String name = shardName(user);
        try {
            TensorFile shard = shard(name);
            ShardItems items = ShardItems.of(shard, manifest.fact("embedding"));
            return new Bundle(
                    folder,
                    manifest,
                    recipe,
                    vocabulary(folder, manifest, items.ids),
                    Packed.installShard(folder, manifest, name, items));
        } catch (IOException error) {
            throw unreadable(folder, name, Storage.reason(error));
        } catch (TensorFileException error) {
            throw unreadable(folder, name, error.getMessage());
        }
    }

    private static Vocabulary vocabulary(File folder, Manifest manifest, List<String> own)
            throws BundleException {
        File path = new File(folder, Contract.ITEMS_FILE);
        return manifest.leanHead < 0
                ? new Vocabulary(path, manifest.items)
                : new LeanVocabulary(path, manifest.items, manifest.leanHead, own);
    }

    /**
     * Opens the model file and compares its signatures with the manifest; its variables are the
     * global weights.
     *
     * @throws BundleException the runtime cannot read the file, or it is not what the manifest says
     * @throws RuntimeMissingException the runtime cannot be loaded
     */
    public Model loadModel(ModelRuntime runtime, int threads) throws PocketRecException {
        Model model = new Model(modelFile(), runtime, threads, vocabulary.size());
        boolean good = false;
        try {
            compare("batch", model.batch);
            compare("window", model.window);
            compare("embedding", model.embedding);
            compare("candidates", model.candidates);
            compare("negatives", model.negatives);
            List<TensorSpec> promised = new ArrayList<>(manifest.trainable);
            promised.addAll(manifest.slots);
            for (TensorSpec spec : promised) {
                TensorSpec found = model.variables.get(spec.name);
                if (found == null || !found.is(spec.dtype, spec.shape())) {
                    throw new BundleException(
                            folder
                                    + ": the model's "
                                    + spec.name
                                    + " is "
                                    + found
                                    + " and the manifest says "
                                    + spec
                                    + AGAIN);
                }
            }
            if (promised.size() != model.variables.size()) {
                throw new BundleException(
                        folder
                                + ": the model has variables that the manifest does not list"
                                + AGAIN);
            }
            good = true;
            return model;
        } finally {
            if (!good) {
                model.close();
            }
        }
    }

    /**
     * Candidate rows of a user, int [at most K], best first; null where the bundle has none for
     * this user.
     *
     * @throws BundleException the shard is missing, cut short or altered
     */
    public int[] candidatesOf(String user) throws BundleException {
        int[] rows = ofUser(user, Shards.ROWS);
        for (int row : rows == null ? new int[0] : rows) {
            if (row < 0 || row > vocabulary.size()) {
                throw new BundleException(
                        folder + ": candidates name items that the bundle lacks" + AGAIN);
            }
        }
        return rows == null
                ? null
                : java.util.Arrays.stream(rows).filter(row -> row != Contract.PADDING).toArray();
    }

    /**
     * Events of a user that the cloud knows; 0 where it knows none, and where nothing was shipped.
     *
     * @throws BundleException the shard is missing, cut short or altered
     */
    public int knownOf(String user) throws BundleException {
        int[] known = ofUser(user, Shards.KNOWN);
        return known == null ? 0 : known[0];
    }

    /** The most popular rows, as many as a user has candidates, most popular first. */
    public int[] popular() {
        return popular(manifest.perUser > 0 ? manifest.perUser : manifest.fact("candidates"));
    }

    /** The {@code count} most popular rows, fewer where there are fewer, most popular first. */
    int[] popular(int count) {
        int items = manifest.leanHead < 0 ? manifest.items : manifest.leanHead;
        int[] rows = new int[Math.min(count, items)];
        for (int place = 0; place < rows.length; place++) {
            rows[place] = place + 1;
        }
        return rows;
    }

    /**
     * The title of each item row; "" of an item that has none, or of all where the bundle brings no
     * titles. In a lean bundle the items of the head have one, and not those of a shard.
     *
     * @throws BundleException the file is missing or damaged
     */
    public String[] titles(int... rows) throws BundleException {
        return titles.of(rows);
    }

    private String shardName(String user) {
        return Shards.name(Shards.of(user, manifest.shards));
    }

    /** A shard that is here. */
    private TensorFile shard(String name) throws BundleException, IOException, TensorFileException {
        Set<Long> held = Shards.held(folder);
        if (held != null && !held.contains(Long.valueOf(name.substring(name.indexOf('/') + 1)))) {
            throw new BundleException(
                    folder
                            + " was pulled without the candidates of this user: fetch it again with"
                            + " that user");
        }
        return TensorFile.load(new File(folder, name));
    }

    /**
     * Opens every candidate shard that is here, so that a bundle with a bad one is refused before
     * it is in use.
     *
     * @throws BundleException a shard is missing, altered, or does not fit the bundle
     */
    public void checkShards() throws BundleException {
        Set<Long> numbers = Shards.held(folder);
        if (numbers == null) {
            numbers = new TreeSet<>();
            for (long number = 0; number < manifest.shards; number++) {
                numbers.add(number);
            }
        }
        for (long number : numbers) {
            String name = Shards.name(number);
            try {
                TensorFile shard = shard(name);
                int lines = vocabulary.size();
                if (manifest.leanHead >= 0) {
                    lines += ShardItems.of(shard, manifest.fact("embedding")).ids.size();
                }
                Shards.check(shard, lines);
            } catch (IOException error) {
                throw unreadable(folder, name, Storage.reason(error));
            } catch (TensorFileException | JsonException error) {
                throw new BundleException(
                        folder
                                + ": "
                                + name
                                + " cannot be used ("
                                + error.getMessage()
                                + ")"
                                + AGAIN);
            }
        }
    }

    /** The user's part of a tensor of the shard, int; null where there is none. */
    private int[] ofUser(String user, String tensor) throws BundleException {
        if (manifest.shards == 0) {
            return null;
        }
        String name = shardName(user);
        try {
            TensorFile shard = shard(name);
            Object users = Json.parse(String.valueOf(shard.metadata.get(Shards.USERS)));
            Tensor values = shard.tensors.get(tensor);
            int place = users instanceof List ? ((List<?>) users).indexOf(user) : -1;
            if (place < 0 || values == null) {
                return null;
            }
            int width = values.shape.length > 1 ? values.shape[1] : 1;
            if (values.shape.length == 0 || values.shape[0] != ((List<?>) users).size()) {
                throw unreadable(folder, name, "it has another number of users than rows");
            }
            return values.ints(place * width, width);
        } catch (IOException error) {
            throw unreadable(folder, name, Storage.reason(error));
        } catch (TensorFileException | JsonException error) {
            throw unreadable(folder, name, error.getMessage());
        }
    }

    private void compare(String fact, int found) throws BundleException {
        if (manifest.fact(fact) != found) {
            throw new BundleException(
                    folder
                            + ": the model's "
                            + fact
                            + " is "
                            + found
                            + " and the manifest says "
                            + manifest.model.get(fact)
                            + AGAIN);
        }
    }

    static BundleException unreadable(File folder, String name, String reason) {
        return new BundleException(
                folder + ": " + name + " cannot be read (" + reason + ")" + AGAIN);
    }
}
