// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.Closeable;
import java.util.Set;

/**
 * A model file opened by a runtime. Its signatures share one set of variables. Not thread-safe;
 * {@link Model} is.
 */
public interface Interpreter extends Closeable {
    /** Names of the signatures. */
    Set<String> signatures();

    /**
     * A signature of {@link #signatures}, with its buffers allocated.
     *
     * @throws BundleException the runtime cannot prepare it
     */
    SignatureRunner signature(String name) throws PocketRecException;

    /** Gives the native memory back; nothing may be called afterwards. */
    @Override
    void close();
}
