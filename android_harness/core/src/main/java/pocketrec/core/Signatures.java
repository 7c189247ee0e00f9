// SPDX-License-Identifier: Apache-2.0
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
 * The signatures of an open model file, compared with {@link Contract}; what is put into one is
 * checked here, for the runtime itself would read memory beside the item table.
 */
final class Signatures implements Closeable {
    private final File path;
    private final Interpreter interpreter;
    private final int items; // N
    private final Map<String, SignatureRunner> runners = new HashMap<>();
    private boolean closed;

    Signatures(File path, Interpreter interpreter, int items) {
        this.path = path;
        this.interpreter = interpreter;
        this.items = items;
    }

    boolean has(String name) {
        return interpreter.signatures().contains(name);
    }

    /**
     * @throws BundleException the file has no such signature
     */
    void require(String name) throws BundleException {
        if (!has(name)) {
            throw new BundleException(
                    path + " has no signature '" + name + "': export the model again");
        }
    }

    /** Gives the native memory back. */
    @Override
    public void close() {
        if (!closed) {
            closed = true;
            runners.clear();
            interpreter.close();
        }
    }

    /**
     * Compares every signature's inputs and outputs with the contract; gives the variables.
     *
     * @param model whose sizes are known by now
     */
    Map<String, TensorSpec> checked(Model model) throws PocketRecException {
        int batch = model.batch;
        int window = model.window;
        int targets = model.targets;
        int candidates = model.candidates;
        int embedding = model.embedding;
        Positions positions = model.positions;
        int[] judged = positions == null ? new int[] {batch, targets} : new int[] {positions.size};
        for (String name : new String[] {Contract.TRAIN, Contract.EVALUATE}) {
            List<TensorSpec> inputs = runner(name).inputs();
            if (positions == null) {
                require(name, Contract.ITEMS, inputs, "int32", batch, window);
                int wanted = targets == 1 ? 1 : window;
                require(name, Contract.TARGETS, inputs, "int32", batch, wanted);
            } else {
                int size = positions.size;
                require(name, Contract.USER_EMBEDDINGS, inputs, "float32", size, embedding);
                require(name, Contract.TARGETS, inputs, "int32", size);
            }
        }
        if (positions != null) {
            List<TensorSpec> made = runner(Contract.EMBED_WINDOWS).outputs();
            int steps = targets == 1 ? 1 : window;
            require(
                    Contract.EMBED_WINDOWS,
                    Contract.USER_EMBEDDINGS,
                    made,
                    "float32",
                    batch,
                    steps,
                    embedding);
        }
        require(Contract.TRAIN, Contract.LEARNING_RATE, runner(Contract.TRAIN).inputs(), "float32");
        require(Contract.TRAIN, Contract.PROXIMAL, runner(Contract.TRAIN).inputs(), "float32");
        require(Contract.TRAIN, Contract.LOSS, runner(Contract.TRAIN).outputs(), "float32");
        require(
                Contract.EVALUATE,
                Contract.LOSS,
                runner(Contract.EVALUATE).outputs(),
                "float32",
                judged);
        require(
                Contract.EVALUATE,
                Contract.RANK,
                runner(Contract.EVALUATE).outputs(),
                "float32",
                judged);
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
        if (model.compared > 0) {
            checkTask(model, found);
        }
        return found;
    }

    /** Compares the signature that trains a task's patch with the model's sizes. */
    private void checkTask(Model model, Map<String, TensorSpec> variables)
            throws PocketRecException {
        List<TensorSpec> inputs = runner(Contract.TRAIN_TASK).inputs();
        String task = Contract.TRAIN_TASK;
        int compared = model.compared;
        require(task, Contract.ITEMS, inputs, "int32", model.batch, model.window);
        require(task, Contract.WANTED, inputs, "float32", model.batch, compared);
        require(task, Contract.HEAD, inputs, "float32", compared, model.embedding);
        require(task, Contract.BIASES, inputs, "float32", compared);
        require(task, Contract.LEARNING_RATE, inputs, "float32");
        require(task, Contract.PROXIMAL, inputs, "float32");
        require(task, Contract.LOSS, runner(task).outputs(), "float32");
        for (TensorSpec spec : inputs) {
            if (spec.name.startsWith(Contract.ORIGIN)) {
                TensorSpec own = variables.get(spec.name.substring(Contract.ORIGIN.length()));
                if (own == null || !spec.is("float32", own.shape())) {
                    throw foreign(task, spec.name, spec, String.valueOf(own));
                }
            }
        }
    }

    /** Whether a signature has an input of this name. */
    boolean takes(String signature, String name) throws PocketRecException {
        return find(runner(signature).inputs(), name) != null;
    }

    TensorSpec input(String signature, String name, String dtype, int rank)
            throws PocketRecException {
        return ranked(signature, name, runner(signature).inputs(), dtype, rank);
    }

    TensorSpec output(String signature, String name, String dtype, int rank)
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

    void check(SignatureRunner runner, String signature, String name, int[] rows)
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
    void checkRows(String signature, String name, int[] rows) throws DataException {
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

    void checkNegatives(SignatureRunner runner, String signature, int[] negatives)
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

    /** One optimiser step; what it learns from is in the runner already. */
    float step(
            SignatureRunner runner,
            int[] targets,
            float learningRate,
            float proximal,
            int[] negatives)
            throws PocketRecException {
        checkNegatives(runner, Contract.TRAIN, negatives);
        check(runner, Contract.TRAIN, Contract.TARGETS, targets);
        runner.input(Contract.TARGETS).asIntBuffer().put(targets);
        runner.input(Contract.LEARNING_RATE).putFloat(0, learningRate);
        runner.input(Contract.PROXIMAL).putFloat(0, proximal);
        if (negatives != null) {
            runner.input(Contract.NEGATIVES).asIntBuffer().put(negatives);
        }
        runner.run();
        return runner.output(Contract.LOSS).getFloat(0);
    }

    /** Loss and rank of targets; what they follow is in the runner already. */
    Model.Evaluation judged(SignatureRunner runner, int[] targets, int[] negatives)
            throws PocketRecException {
        boolean wanted = takes(Contract.EVALUATE, Contract.NEGATIVES);
        checkNegatives(runner, Contract.EVALUATE, wanted ? negatives : null);
        check(runner, Contract.EVALUATE, Contract.TARGETS, targets);
        runner.input(Contract.TARGETS).asIntBuffer().put(targets);
        if (wanted) {
            runner.input(Contract.NEGATIVES).asIntBuffer().put(negatives);
        }
        runner.run();
        return new Model.Evaluation(
                floats(runner, Contract.LOSS), floats(runner, Contract.RANK));
    }

    SignatureRunner runner(String name) throws PocketRecException {
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

    static float[] floats(SignatureRunner runner, String name) {
        ByteBuffer buffer = runner.output(name);
        float[] values = new float[buffer.capacity() / 4];
        buffer.asFloatBuffer().get(values);
        return values;
    }

    static TensorSpec find(List<TensorSpec> specs, String name) {
        for (TensorSpec spec : specs) {
            if (spec.name.equals(name)) {
                return spec;
            }
        }
        return null;
    }
}
