package pocketrec.core;

import java.io.Closeable;
import java.io.File;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * One .tflite file as a Java object: its signatures as methods with checked sizes.
 *
 * <p>All signatures share one set of variables (weights and optimiser slots), which start as the
 * global weights. Calls from several threads wait for each other; arrays that come back are copies.
 * Names of signatures and tensors are those of {@link Contract}. The model knows nothing about
 * users, histories or recipes.
 */
public final class Model implements Closeable {
    /** Windows B of a train step. */
    public final int batch;

    /** Events T that the model looks back on. */
    public final int window;

    /** Size E of the user embedding. */
    public final int embedding;

    /** Candidates C that one {@link #infer} call scores. */
    public final int candidates;

    /** Negatives S that a train step takes; 0 where the loss is the full softmax. */
    public final int negatives;

    /** Items N of the vocabulary. */
    public final int items;

    /** Specs of the trainable tensors and optimiser slots, sorted by name. */
    public final Map<String, TensorSpec> variables;

    private final File path;
    private final Interpreter interpreter;
    private final Map<String, SignatureRunner> runners = new HashMap<>();
    private float[][] catalogue;
    private boolean closed;

    /**
     * Opens a model file.
     *
     * @param path the .tflite file
     * @param runtime what runs it
     * @param threads threads of the runtime's kernels, 1 to four for each core
     * @param items number N of items in the vocabulary
     * @throws BundleException the file is missing, unreadable, or its signatures are not those of
     *     the contract
     * @throws RuntimeMissingException the runtime cannot be loaded
     * @throws DataException the number of threads is out of range
     */
    public Model(File path, ModelRuntime runtime, int threads, int items)
            throws PocketRecException {
        int most = 4 * Runtime.getRuntime().availableProcessors();
        if (threads < 1 || threads > most) {
            throw new DataException(
                    "the number of threads must lie between 1 and "
                            + most
                            + ", not "
                            + threads
                            + ": give another one");
        }
        if (!path.isFile()) {
            throw new BundleException("no model file " + path + ": name a complete bundle");
        }
        this.path = path;
        this.items = items;
        interpreter = runtime.open(path, threads);
        boolean good = false;
        try {
            for (String name : Contract.SIGNATURES) {
                if (!interpreter.signatures().contains(name)) {
                    throw new BundleException(
                            path + " has no signature '" + name + "': export the model again");
                }
            }
            int[] shape = input(Contract.TRAIN, Contract.ITEMS, "int32", 2).shape();
            batch = shape[0];
            window = shape[1];
            candidates = input(Contract.INFER, Contract.CANDIDATES, "int32", 1).shape()[0];
            embedding = output(Contract.EMBED, Contract.USER_EMBEDDING, "float32", 2).shape()[1];
            boolean sampled = find(runner(Contract.TRAIN).inputs(), Contract.NEGATIVES) != null;
            negatives =
                    sampled ? input(Contract.TRAIN, Contract.NEGATIVES, "int32", 1).shape()[0] : 0;
            variables = checkContract();
            good = true;
        } finally {
            if (!good) {
                interpreter.close();
            }
        }
    }

    /**
     * One optimiser step on a batch of windows.
     *
     * @param items int [B * T], each window right-padded with 0
     * @param targets int [B * T]; 0 = does not count
     * @param learningRate the rate
     * @param proximal strength of the pull to the global weights
     * @param negatives int [S] where the loss is the sampled softmax; else null
     * @return the loss before the step, in nats a counted target
     * @throws ShapeException an array has another size, or negatives are missing or not wanted
     * @throws DataException a number is not a row of the item table
     */
    public synchronized float train(
            int[] items, int[] targets, float learningRate, float proximal, int[] negatives)
            throws PocketRecException {
        SignatureRunner runner = runner(Contract.TRAIN);
        checkNegatives(runner, Contract.TRAIN, negatives);
        check(runner, Contract.TRAIN, Contract.ITEMS, items);
        check(runner, Contract.TRAIN, Contract.TARGETS, targets);
        runner.input(Contract.ITEMS).asIntBuffer().put(items);
        runner.input(Contract.TARGETS).asIntBuffer().put(targets);
        runner.input(Contract.LEARNING_RATE).putFloat(0, learningRate);
        runner.input(Contract.PROXIMAL).putFloat(0, proximal);
        if (negatives != null) {
            runner.input(Contract.NEGATIVES).asIntBuffer().put(negatives);
        }
        runner.run();
        return runner.output(Contract.LOSS).getFloat(0);
    }

    /**
     * Loss and rank of every target under the present weights; nothing is changed.
     *
     * @param items int [B * T], each window right-padded with 0
     * @param targets int [B * T]; 0 = does not count
     * @param negatives int [S] where the signature takes them; else they are ignored
     * @throws ShapeException an array has another size
     * @throws DataException a number is not a row of the item table
     */
    public synchronized Evaluation evaluate(int[] items, int[] targets, int[] negatives)
            throws PocketRecException {
        SignatureRunner runner = runner(Contract.EVALUATE);
        boolean wanted = find(runner.inputs(), Contract.NEGATIVES) != null;
        checkNegatives(runner, Contract.EVALUATE, wanted ? negatives : null);
        check(runner, Contract.EVALUATE, Contract.ITEMS, items);
        check(runner, Contract.EVALUATE, Contract.TARGETS, targets);
        runner.input(Contract.ITEMS).asIntBuffer().put(items);
        runner.input(Contract.TARGETS).asIntBuffer().put(targets);
        if (wanted) {
            runner.input(Contract.NEGATIVES).asIntBuffer().put(negatives);
        }
        runner.run();
        return new Evaluation(floats(runner, Contract.LOSS), floats(runner, Contract.RANK));
    }

    /**
     * The user embedding, float [E], after the events {@code items}, int [T], right-padded with 0.
     *
     * @throws ShapeException the array has another size
     * @throws DataException a number is not a row of the item table
     */
    public synchronized float[] embed(int[] items) throws PocketRecException {
        SignatureRunner runner = runner(Contract.EMBED);
        check(runner, Contract.EMBED, Contract.ITEMS, items);
        runner.input(Contract.ITEMS).asIntBuffer().put(items);
        runner.run();
        return floats(runner, Contract.USER_EMBEDDING);
    }

    /**
     * Scores, float [C], of candidate rows, int [C], after the events {@code items}, int [T].
     *
     * @throws ShapeException an array has another size
     * @throws DataException a number is not a row of the item table
     */
    public synchronized float[] infer(int[] items, int[] candidates) throws PocketRecException {
        SignatureRunner runner = runner(Contract.INFER);
        check(runner, Contract.INFER, Contract.ITEMS, items);
        check(runner, Contract.INFER, Contract.CANDIDATES, candidates);
        runner.input(Contract.ITEMS).asIntBuffer().put(items);
        runner.input(Contract.CANDIDATES).asIntBuffer().put(candidates);
        runner.run();
        return floats(runner, Contract.SCORES);
    }

    /**
     * Item embeddings, float [C * E], of candidate rows, int [C], as the file holds them.
     *
     * @throws ShapeException the array has another size
     * @throws DataException a number is not a row of the item table
     */
    public synchronized float[] lookup(int[] candidates) throws PocketRecException {
        SignatureRunner runner = runner(Contract.LOOKUP);
        check(runner, Contract.LOOKUP, Contract.CANDIDATES, candidates);
        runner.input(Contract.CANDIDATES).asIntBuffer().put(candidates);
        runner.run();
        return floats(runner, Contract.ITEM_EMBEDDINGS);
    }

    /**
     * All item embeddings, float [N + 1][E], row 0 all zero; made at the first call and kept. Not
     * to be changed.
     */
    private synchronized float[][] catalogue() throws PocketRecException {
        if (catalogue == null) {
            float[][] table = new float[items + 1][embedding];
            int[] rows = new int[candidates];
            for (int start = 0; start <= items; start += candidates) {
                int count = Math.min(candidates, items + 1 - start);
                for (int place = 0; place < candidates; place++) {
                    rows[place] = place < count ? start + place : Contract.PADDING;
                }
                float[] part = lookup(rows);
                for (int place = 0; place < count; place++) {
                    System.arraycopy(part, place * embedding, table[start + place], 0, embedding);
                }
            }
            catalogue = table;
        }
        return catalogue;
    }

    /**
     * Scores, float [N + 1], of all item rows for a user embedding, float [E]: the one place on the
     * device where the two meet outside the file.
     */
    float[] scores(float[] user) throws PocketRecException {
        return Scores.innerProducts(catalogue(), user);
    }

    /** Copies of all trainable tensors and optimiser slots. */
    public synchronized Weights exportWeights() throws PocketRecException {
        SignatureRunner runner = runner(Contract.EXPORT_WEIGHTS);
        runner.input(Contract.UNUSED).putFloat(0, 0f);
        runner.run();
        Map<String, float[]> values = new TreeMap<>();
        for (String name : variables.keySet()) {
            values.put(name, floats(runner, name));
        }
        return new Weights(values);
    }

    /**
     * Replaces all trainable tensors and optimiser slots.
     *
     * @throws StateException a tensor is missing, unknown, or of another size; nothing was changed
     */
    public synchronized void importWeights(Weights weights) throws PocketRecException {
        SignatureRunner runner = runner(Contract.IMPORT_WEIGHTS);
        String way = ": use a state of this model, or reset the state";
        for (TensorSpec spec : variables.values()) {
            float[] value = weights.raw(spec.name);
            if (value == null || value.length != spec.elements()) {
                throw new StateException(
                        "the weights lack "
                                + spec.name
                                + " of shape "
                                + Arrays.toString(spec.shape())
                                + way);
            }
        }
        for (String name : weights.names()) {
            if (!variables.containsKey(name)) {
                throw new StateException("the model has no tensor " + name + way);
            }
        }
        for (String name : variables.keySet()) {
            runner.input(name).asFloatBuffer().put(weights.raw(name));
        }
        runner.run();
    }

    /** Gives the native memory back; every call afterwards is an {@link IllegalStateException}. */
    @Override
    public synchronized void close() {
        if (!closed) {
            closed = true;
            runners.clear();
            interpreter.close();
        }
    }

    // --- checks
    // -------------------------------------------------------------------------------------------------

    /** Compares every signature's inputs and outputs with the contract; gives the variables. */
    private Map<String, TensorSpec> checkContract() throws PocketRecException {
        for (String name : new String[] {Contract.TRAIN, Contract.EVALUATE}) {
            require(name, Contract.ITEMS, runner(name).inputs(), "int32", batch, window);
            require(name, Contract.TARGETS, runner(name).inputs(), "int32", batch, window);
        }
        require(Contract.TRAIN, Contract.LEARNING_RATE, runner(Contract.TRAIN).inputs(), "float32");
        require(Contract.TRAIN, Contract.PROXIMAL, runner(Contract.TRAIN).inputs(), "float32");
        require(Contract.TRAIN, Contract.LOSS, runner(Contract.TRAIN).outputs(), "float32");
        require(
                Contract.EVALUATE,
                Contract.LOSS,
                runner(Contract.EVALUATE).outputs(),
                "float32",
                batch,
                window);
        require(
                Contract.EVALUATE,
                Contract.RANK,
                runner(Contract.EVALUATE).outputs(),
                "float32",
                batch,
                window);
        require(
                Contract.EMBED,
                Contract.ITEMS,
                runner(Contract.EMBED).inputs(),
                "int32",
                1,
                window);
        require(
                Contract.INFER,
                Contract.ITEMS,
                runner(Contract.INFER).inputs(),
                "int32",
                1,
                window);
        require(
                Contract.INFER,
                Contract.SCORES,
                runner(Contract.INFER).outputs(),
                "float32",
                1,
                candidates);
        require(
                Contract.LOOKUP,
                Contract.CANDIDATES,
                runner(Contract.LOOKUP).inputs(),
                "int32",
                candidates);
        require(
                Contract.LOOKUP,
                Contract.ITEM_EMBEDDINGS,
                runner(Contract.LOOKUP).outputs(),
                "float32",
                candidates,
                embedding);
        require(
                Contract.EXPORT_WEIGHTS,
                Contract.UNUSED,
                runner(Contract.EXPORT_WEIGHTS).inputs(),
                "float32");
        Map<String, TensorSpec> found = new TreeMap<>();
        for (TensorSpec spec : runner(Contract.IMPORT_WEIGHTS).inputs()) {
            require(
                    Contract.EXPORT_WEIGHTS,
                    spec.name,
                    runner(Contract.EXPORT_WEIGHTS).outputs(),
                    "float32",
                    spec.shape());
            found.put(spec.name, spec);
        }
        return found;
    }

    private TensorSpec input(String signature, String name, String dtype, int rank)
            throws PocketRecException {
        return ranked(signature, name, runner(signature).inputs(), dtype, rank);
    }

    private TensorSpec output(String signature, String name, String dtype, int rank)
            throws PocketRecException {
        return ranked(signature, name, runner(signature).outputs(), dtype, rank);
    }

    private TensorSpec ranked(
            String signature, String name, List<TensorSpec> specs, String dtype, int rank)
            throws BundleException {
        TensorSpec spec = find(specs, name);
        if (spec == null || !spec.dtype.equals(dtype) || spec.shape().length != rank) {
            throw foreign(signature, name, spec, dtype + " of rank " + rank);
        }
        return spec;
    }

    private void require(
            String signature, String name, List<TensorSpec> specs, String dtype, int... shape)
            throws BundleException {
        TensorSpec spec = find(specs, name);
        if (spec == null || !spec.is(dtype, shape)) {
            throw foreign(signature, name, spec, dtype + " " + Arrays.toString(shape));
        }
    }

    private BundleException foreign(String signature, String name, TensorSpec spec, String wanted) {
        return new BundleException(
                path
                        + ": "
                        + name
                        + " of signature "
                        + signature
                        + " is "
                        + (spec == null ? "missing" : spec.toString())
                        + " and not "
                        + wanted
                        + ": export the model again");
    }

    private void check(SignatureRunner runner, String signature, String name, int[] rows)
            throws ShapeException, DataException {
        TensorSpec spec = find(runner.inputs(), name);
        if (spec == null || spec.elements() != rows.length) {
            throw new ShapeException(
                    signature
                            + ": "
                            + name
                            + " must be "
                            + spec
                            + ", not "
                            + rows.length
                            + " numbers: give an array of the model's own sizes");
        }
        checkRows(signature, name, rows);
    }

    /** The runtime itself would read memory beside the table. */
    private void checkRows(String signature, String name, int[] rows) throws DataException {
        for (int row : rows) {
            if (row < 0 || row > items) {
                throw new DataException(
                        signature
                                + ": "
                                + name
                                + " holds "
                                + row
                                + ", and items are numbered 1 to "
                                + items
                                + " (0 = padding): give rows of this bundle's vocabulary");
            }
        }
    }

    private void checkNegatives(SignatureRunner runner, String signature, int[] negatives)
            throws ShapeException, DataException {
        TensorSpec spec = find(runner.inputs(), Contract.NEGATIVES);
        int wanted = spec == null ? 0 : spec.elements();
        if (wanted != (negatives == null ? 0 : negatives.length)) {
            throw new ShapeException(
                    signature
                            + " takes "
                            + wanted
                            + " negatives and not "
                            + (negatives == null ? 0 : negatives.length)
                            + ": give an array of that size, or null for 0");
        }
        if (negatives != null) {
            checkRows(signature, Contract.NEGATIVES, negatives);
        }
    }

    private SignatureRunner runner(String name) throws PocketRecException {
        if (closed) {
            throw new IllegalStateException("this model is closed: open it again");
        }
        SignatureRunner runner = runners.get(name);
        if (runner == null) {
            runner = interpreter.signature(name);
            runners.put(name, runner);
        }
        return runner;
    }

    private static float[] floats(SignatureRunner runner, String name) {
        ByteBuffer buffer = runner.output(name);
        float[] values = new float[buffer.capacity() / 4];
        buffer.asFloatBuffer().get(values);
        return values;
    }

    private static TensorSpec find(List<TensorSpec> specs, String name) {
        for (TensorSpec spec : specs) {
            if (spec.name.equals(name)) {
                return spec;
            }
        }
        return null;
    }

    /** What {@link #evaluate} gives. */
    public static final class Evaluation {
        /** Loss in nats, float [B * T]; 0 where not counted. */
        public final float[] loss;

        /** Rank in the full catalogue (1 = best), float [B * T]; 0 where not counted. */
        public final float[] rank;

        Evaluation(float[] loss, float[] rank) {
            this.loss = loss;
            this.rank = rank;
        }
    }
}
