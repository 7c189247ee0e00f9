// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Collections;

/**
 * The one model of a session, opened where it is needed, and which weights it holds. Its owner
 * makes sure that one thread at a time uses it.
 */
final class Serving {
    private static final Weights OTHER = new Weights(Collections.emptyMap());

    private final Session session;
    private final ModelRuntime runtime;
    private final int threads;
    private Model model;
    private Weights reference;
    private Weights inside; // what the open model holds; null = the global ones

    Serving(Session session, ModelRuntime runtime, int threads) {
        this.session = session;
        this.runtime = runtime;
        this.threads = threads;
    }

    /** The model with the weights in use. */
    Model open() throws PocketRecException {
        return holding(session.state.weights);
    }

    /** The model with these weights until another call; null = the global ones. */
    Model holding(Weights weights) throws PocketRecException {
        opened();
        if (inside != weights) {
            model.importWeights(weights == null ? reference : weights);
            inside = weights;
        }
        return model;
    }

    /** The global weights and slots. */
    Weights reference() throws PocketRecException {
        opened();
        return reference;
    }

    /** Notes that a training is about to change what the model holds. */
    void holdsOther() {
        inside = OTHER;
    }

    /** Notes that a training has left the model with the weights in use. */
    void holdsOwn() {
        inside = session.state.weights;
    }

    /** Lets an open model hold the weights in use, which other calls than trainings change too. */
    void sync() throws PocketRecException {
        if (model != null) {
            open();
        }
    }

    /** Gives the model's memory back; a later call opens it again. */
    void close() {
        if (model != null) {
            model.close();
            model = null;
        }
    }

    private void opened() throws PocketRecException {
        if (model != null) {
            return;
        }
        Model fresh = session.bundle.loadModel(runtime, threads);
        boolean good = false;
        try {
            reference = fresh.exportWeights();
            good = true;
        } finally {
            if (!good) {
                fresh.close();
            }
        }
        model = fresh;
        inside = null;
    }
}
