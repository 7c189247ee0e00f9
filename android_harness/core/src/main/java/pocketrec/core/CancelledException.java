// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** The work was cancelled by the application; weights, history and state are as they were. */
public final class CancelledException extends PocketRecException {
    /**
     * @param message one line that ends with what to do
     */
    public CancelledException(String message) {
        super(message);
    }

    /**
     * @param message one line that ends with what to do
     * @param cause what the system reported
     */
    public CancelledException(String message, Throwable cause) {
        super(message, cause);
    }
}
