// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.Closeable;
import java.io.File;
import java.util.Arrays;
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
    /** Windows B of a train step, or of a call that makes user embeddings for train steps. */
    public final int batch;

    /** Events T that the model looks back on. */
    public final int window;

    /**
     * Targets of a window in {@code train} and {@code evaluate}: T, one after each event; or 1,
     * after the last: such a model sees both sides of an event, so that each target needs a window
     * of its own.
     */
    public final int targets;

    /** Size E of the user embedding. */
    public final int embedding;

    /** Candidates C that one {@link #infer} call scores. */
    public final int candidates;

    /** Negatives S that a train step takes; 0 where the loss is the full softmax. */
    public final int negatives;

    /** Items N of the vocabulary. */
    public final int items;

    /** Items K that {@link #retrieve} finds; 0 = the file has no such signature. */
    public final int retrieved;

    /** Candidates that one call of the signature of {@link #rank} scores; 0 = there is none. */
    public final int ranked;

    /** Rows of a task's head that {@link #trainTask} compares; 0 = the file trains no tasks. */
    public final int compared;

    /** Train steps over user embeddings, which the file has then; null = steps take windows. */
    final Positions positions;

    /** Specs of the trainable tensors and optimiser slots, sorted by name. */
    public final Map<String, TensorSpec> variables;

    private final File path;
    private final Signatures signatures;
    private final ItemTable table;

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
        signatures = new Signatures(path, runtime.open(path, threads), items);
        boolean good = false;
        try {
            for (String name : Contract.SIGNATURES) {
                signatures.require(name);
            }
            boolean given = signatures.takes(Contract.TRAIN, Contract.USER_EMBEDDINGS);
            String taking = given ? Contract.EMBED_WINDOWS : Contract.TRAIN;
            int[] shape = signatures.input(taking, Contract.ITEMS, "int32", 2).shape();
            batch = shape[0];
            window = shape[1];
            targets =
                    given
                            ? signatures
                                    .output(taking, Contract.USER_EMBEDDINGS, "float32", 3)
                                    .shape()[1]
                            : signatures.input(taking, Contract.TARGETS, "int32", 2).shape()[1];
            positions = given ? new Positions(this, signatures) : null;
            candidates = size(Contract.INFER);
            embedding =
                    signatures
                            .output(Contract.EMBED, Contract.USER_EMBEDDING, "float32", 2)
                            .shape()[1];
            negatives =
                    signatures.takes(Contract.TRAIN, Contract.NEGATIVES)
                            ? signatures
                                    .input(Contract.TRAIN, Contract.NEGATIVES, "int32", 1)
                                    .shape()[0]
                            : 0;
            retrieved =
                    signatures.has(Contract.RETRIEVE)
                            ? signatures
                                    .output(Contract.RETRIEVE, Contract.CANDIDATES, "int32", 1)
                                    .shape()[0]
                            : 0;
            ranked =
                    signatures.has(Contract.RANK_CANDIDATES)
                            ? size(Contract.RANK_CANDIDATES)
                            : 0;
            compared =
                    signatures.has(Contract.TRAIN_TASK)
                            ? signatures
                                    .input(Contract.TRAIN_TASK, Contract.HEAD, "float32", 2)
                                    .shape()[0]
                            : 0;
            variables = signatures.checked(this);
            table = new ItemTable(signatures, items, candidates, embedding);
            good = true;
        } finally {
            if (!good) {
                signatures.close();
            }
        }
    }

    private int size(String signature) throws PocketRecException {
        return signatures.input(signature, Contract.CANDIDATES, "int32", 1).shape()[0];
    }

    /**
     * One optimiser step on a batch of windows.
     *
     * @param items int [B * T], each window right-padded with 0
     * @param targets int [B * {@link #targets}]; 0 = does not count
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
        SignatureRunner runner = signatures.runner(Contract.TRAIN);
        signatures.check(runner, Contract.TRAIN, Contract.ITEMS, items);
        runner.input(Contract.ITEMS).asIntBuffer().put(items);
        return signatures.step(runner, targets, learningRate, proximal, negatives);
    }

    /**
     * One optimiser step of a task's patch on a batch of windows, each with one target.
     *
     * @param batch what is wanted, float [B * S], 1 at the target's row of the head; the rows of
     *     the head, float [S * E]; their biases, float [S]
     * @param items int [B * T], right-padded with 0
     * @param origin what each trained tensor is pulled to: the task's patch
     * @return the loss before the step, in nats a window that counts
     * @throws BundleException the model file trains no tasks
     */
    synchronized float trainTask(
            float[][] batch, int[] items, float learningRate, float proximal, Weights origin)
            throws PocketRecException {
        SignatureRunner runner = optional(Contract.TRAIN_TASK, compared);
        signatures.check(runner, Contract.TRAIN_TASK, Contract.ITEMS, items);
        runner.input(Contract.ITEMS).asIntBuffer().put(items);
        runner.input(Contract.WANTED).asFloatBuffer().put(batch[0]);
        runner.input(Contract.HEAD).asFloatBuffer().put(batch[1]);
        runner.input(Contract.BIASES).asFloatBuffer().put(batch[2]);
        runner.input(Contract.LEARNING_RATE).putFloat(0, learningRate);
        runner.input(Contract.PROXIMAL).putFloat(0, proximal);
        for (TensorSpec spec : runner.inputs()) {
            if (spec.name.startsWith(Contract.ORIGIN)) {
                String name = spec.name.substring(Contract.ORIGIN.length());
                runner.input(spec.name).asFloatBuffer().put(origin.raw(name));
            }
        }
        runner.run();
        return runner.output(Contract.LOSS).getFloat(0);
    }

    /**
     * Loss and rank of every target under the present weights; nothing is changed.
     *
     * @param items int [B * T], each window right-padded with 0
     * @param targets int [B * {@link #targets}]; 0 = does not count
     * @param negatives int [S] where the signature takes them; else they are ignored
     * @throws ShapeException an array has another size
     * @throws DataException a number is not a row of the item table
     */
    public synchronized Evaluation evaluate(int[] items, int[] targets, int[] negatives)
            throws PocketRecException {
        SignatureRunner runner = signatures.runner(Contract.EVALUATE);
        signatures.check(runner, Contract.EVALUATE, Contract.ITEMS, items);
        runner.input(Contract.ITEMS).asIntBuffer().put(items);
        return signatures.judged(runner, targets, negatives);
    }

    /**
     * The user embedding, float [E], after the events {@code items}, int [T], right-padded with 0.
     *
     * @throws ShapeException the array has another size
     * @throws DataException a number is not a row of the item table
     */
    public synchronized float[] embed(int[] items) throws PocketRecException {
        SignatureRunner runner = signatures.runner(Contract.EMBED);
        signatures.check(runner, Contract.EMBED, Contract.ITEMS, items);
        runner.input(Contract.ITEMS).asIntBuffer().put(items);
        runner.run();
        return Signatures.floats(runner, Contract.USER_EMBEDDING);
    }

    /**
     * Scores, float [C], of candidate rows, int [C], after the events {@code items}, int [T].
     *
     * @throws ShapeException an array has another size
     * @throws DataException a number is not a row of the item table
     */
    public synchronized float[] infer(int[] items, int[] candidates) throws PocketRecException {
        SignatureRunner runner = signatures.runner(Contract.INFER);
        signatures.check(runner, Contract.INFER, Contract.ITEMS, items);
        signatures.check(runner, Contract.INFER, Contract.CANDIDATES, candidates);
        runner.input(Contract.ITEMS).asIntBuffer().put(items);
        runner.input(Contract.CANDIDATES).asIntBuffer().put(candidates);
        runner.run();
        return Signatures.floats(runner, Contract.SCORES);
    }

    /**
     * Scores, float [n], by the ranker of the second stage, of candidate rows, int [n], after the
     * events {@code items}, int [T]; any number of rows.
     *
     * @throws ShapeException the array has another size
     * @throws DataException a number is not a row of the item table
     * @throws BundleException the file has no such signature ({@link #ranked})
     */
    public synchronized float[] rank(int[] items, int[] rows) throws PocketRecException {
        SignatureRunner runner = optional(Contract.RANK_CANDIDATES, ranked);
        signatures.check(runner, Contract.RANK_CANDIDATES, Contract.ITEMS, items);
        signatures.checkRows(Contract.RANK_CANDIDATES, Contract.CANDIDATES, rows);
        float[] scores = new float[rows.length];
        for (int start = 0; start < rows.length; start += ranked) {
            int count = Math.min(ranked, rows.length - start);
            int[] part = Arrays.copyOf(Arrays.copyOfRange(rows, start, start + count), ranked);
            runner.input(Contract.ITEMS).asIntBuffer().put(items);
            runner.input(Contract.CANDIDATES).asIntBuffer().put(part);
            runner.run();
            System.arraycopy(Signatures.floats(runner, Contract.SCORES), 0, scores, start, count);
        }
        return scores;
    }

    /**
     * Rows, int [K], of the items of the whole catalogue with the largest inner product after the
     * events {@code items}, int [T], best first, each once and never 0.
     *
     * @throws ShapeException the array has another size
     * @throws DataException a number is not a row of the item table
     * @throws BundleException the file has no such signature ({@link #retrieved})
     */
    public synchronized int[] retrieve(int[] items) throws PocketRecException {
        SignatureRunner runner = optional(Contract.RETRIEVE, retrieved);
        signatures.check(runner, Contract.RETRIEVE, Contract.ITEMS, items);
        runner.input(Contract.ITEMS).asIntBuffer().put(items);
        runner.run();
        int[] rows = new int[retrieved];
        runner.output(Contract.CANDIDATES).asIntBuffer().get(rows);
        return rows;
    }

    private SignatureRunner optional(String name, int size) throws PocketRecException {
        if (size == 0) {
            throw new BundleException(
                    path + " has no signature '" + name + "': export the model with it");
        }
        return signatures.runner(name);
    }

    /**
     * Item embeddings, float [C * E], of candidate rows, int [C], as the file holds them.
     *
     * @throws ShapeException the array has another size
     * @throws DataException a number is not a row of the item table
     */
    public synchronized float[] lookup(int[] candidates) throws PocketRecException {
        return table.lookup(candidates);
    }

    /** Scores, float [N + 1], of all item rows for a user embedding, float [E]. */
    synchronized float[] scores(float[] user) throws PocketRecException {
        return table.scores(user);
    }

    /** Scores, float [n], of item rows, int [n], for a user embedding, float [E]. */
    synchronized float[] scores(float[] user, int[] rows) throws PocketRecException {
        return table.scores(user, rows);
    }

    /** Copies of all trainable tensors and optimiser slots. */
    public synchronized Weights exportWeights() throws PocketRecException {
        SignatureRunner runner = signatures.runner(Contract.EXPORT_WEIGHTS);
        runner.input(Contract.UNUSED).putFloat(0, 0f);
        runner.run();
        Map<String, float[]> values = new TreeMap<>();
        for (String name : variables.keySet()) {
            values.put(name, Signatures.floats(runner, name));
        }
        return new Weights(values);
    }

    /**
     * Replaces all trainable tensors and optimiser slots.
     *
     * @throws StateException a tensor is missing, unknown, or of another size; nothing was changed
     */
    public synchronized void importWeights(Weights weights) throws PocketRecException {
        SignatureRunner runner = signatures.runner(Contract.IMPORT_WEIGHTS);
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
        signatures.close();
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
