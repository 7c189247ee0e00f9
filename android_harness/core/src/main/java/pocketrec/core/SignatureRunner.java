// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.nio.ByteBuffer;
import java.util.List;

/**
 * One signature with a buffer for each input and output. The buffers stay the same ones for its
 * whole life: a caller fills the inputs, runs, and reads the outputs. So no call can have a wrong
 * size, and none allocates.
 */
public interface SignatureRunner {
    /** The inputs; never empty. */
    List<TensorSpec> inputs();

    /** The outputs. */
    List<TensorSpec> outputs();

    /** Memory of an input, in native byte order, position 0, exactly as large as the tensor. */
    ByteBuffer input(String name);

    /** Memory of an output, in native byte order, position 0, exactly as large as the tensor. */
    ByteBuffer output(String name);

    /**
     * Runs the signature on what the inputs hold.
     *
     * @throws BundleException the runtime failed
     */
    void run() throws PocketRecException;
}
