// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;

/** A TensorFlow Lite runtime: the one thing that core needs from outside. */
public interface ModelRuntime {
    /** Its name, for results; such as ai_edge_litert. */
    String name();

    /** Its version, or "unknown". */
    String version();

    /**
     * Opens a model file, memory-mapped where the runtime can.
     *
     * @param model the .tflite file
     * @param threads threads of the runtime's kernels, at least 1
     * @throws BundleException the runtime cannot read the file
     * @throws RuntimeMissingException the runtime cannot be loaded here
     */
    Interpreter open(File model, int threads) throws PocketRecException;
}
