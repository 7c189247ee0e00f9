// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Arrays;
import java.util.List;

/**
 * The second, small batch of a model file: {@code train} and {@code evaluate} of fewer windows,
 * which a step takes whose windows all lie in the first rows; the rule of {@code cut_to_small} of
 * device/engine/signatures.py.
 *
 * <p>Rows of padding count for nothing, so both batches give the same, up to the order of sums. The
 * choice follows from the inputs alone, so that a training that was stopped continues to the same
 * bits.
 */
final class SmallBatch {
    private final Signatures signatures;
    private final int size; // windows
    private final int batch; // of the whole batch
    private final int window;
    private final int targets; // of a window

    /**
     * @throws BundleException the signatures are not those of the contract
     */
    SmallBatch(Signatures signatures, int batch, int window, int targets)
            throws PocketRecException {
        this.signatures = signatures;
        this.batch = batch;
        this.window = window;
        this.targets = targets;
        String train = Contract.TRAIN_SMALL;
        String evaluate = Contract.EVALUATE_SMALL;
        signatures.require(evaluate);
        size =
                Math.min(
                        signatures.input(train, Contract.ITEMS, "int32", 2).shape()[0],
                        batch - 1); // a larger one is no small batch, and is refused below
        for (String name : new String[] {train, evaluate}) {
            List<TensorSpec> inputs = signatures.runner(name).inputs();
            signatures.require(name, Contract.ITEMS, inputs, "int32", size, window);
            signatures.require(name, Contract.TARGETS, inputs, "int32", size, targets);
        }
        List<TensorSpec> inputs = signatures.runner(train).inputs();
        signatures.require(train, Contract.LEARNING_RATE, inputs, "float32");
        signatures.require(train, Contract.PROXIMAL, inputs, "float32");
        List<TensorSpec> loss = signatures.runner(train).outputs();
        signatures.require(train, Contract.LOSS, loss, "float32");
        List<TensorSpec> judged = signatures.runner(evaluate).outputs();
        signatures.require(evaluate, Contract.LOSS, judged, "float32", size, targets);
        signatures.require(evaluate, Contract.RANK, judged, "float32", size, targets);
    }

    /** Whether arrays have the whole batch's sizes and nothing behind the first rows. */
    boolean fits(int[] items, int[] wanted) {
        return items.length == batch * window
                && wanted.length == batch * targets
                && isPadding(items, size * window)
                && isPadding(wanted, size * targets);
    }

    private static boolean isPadding(int[] rows, int from) {
        for (int place = from; place < rows.length; place++) {
            if (rows[place] != Contract.PADDING) {
                return false;
            }
        }
        return true;
    }

    /** One optimiser step; see {@link Model#train}. */
    float train(int[] items, int[] wanted, float rate, float proximal, int[] negatives)
            throws PocketRecException {
        SignatureRunner runner = put(Contract.TRAIN, items, wanted, negatives);
        runner.input(Contract.LEARNING_RATE).putFloat(0, rate);
        runner.input(Contract.PROXIMAL).putFloat(0, proximal);
        runner.run();
        return runner.output(Contract.LOSS).getFloat(0);
    }

    /** Loss and rank of every target of the whole batch; see {@link Model#evaluate}. */
    Model.Evaluation evaluate(int[] items, int[] wanted, int[] negatives)
            throws PocketRecException {
        boolean drawn = signatures.takes(Contract.EVALUATE_SMALL, Contract.NEGATIVES);
        SignatureRunner runner = put(Contract.EVALUATE, items, wanted, drawn ? negatives : null);
        runner.run();
        int all = batch * targets; // 0 behind what was counted
        return new Model.Evaluation(
                Arrays.copyOf(Signatures.floats(runner, Contract.LOSS), all),
                Arrays.copyOf(Signatures.floats(runner, Contract.RANK), all));
    }

    /** The runner with its inputs; {@code name} is that of the whole batch, which callers know. */
    private SignatureRunner put(String name, int[] items, int[] wanted, int[] negatives)
            throws PocketRecException {
        boolean trains = name.equals(Contract.TRAIN);
        SignatureRunner runner =
                signatures.runner(trains ? Contract.TRAIN_SMALL : Contract.EVALUATE_SMALL);
        int[] first = Arrays.copyOf(items, size * window);
        int[] own = Arrays.copyOf(wanted, size * targets);
        signatures.checkNegatives(runner, name, negatives);
        signatures.check(runner, name, Contract.ITEMS, first);
        signatures.check(runner, name, Contract.TARGETS, own);
        runner.input(Contract.ITEMS).asIntBuffer().put(first);
        runner.input(Contract.TARGETS).asIntBuffer().put(own);
        if (negatives != null) {
            runner.input(Contract.NEGATIVES).asIntBuffer().put(negatives);
        }
        return runner;
    }
}
