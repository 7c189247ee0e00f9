// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** No usable TensorFlow Lite runtime was found. */
public final class RuntimeMissingException extends PocketRecException {
    /**
     * @param message one line that ends with what to do
     */
    public RuntimeMissingException(String message) {
        super(message);
    }

    /**
     * @param message one line that ends with what to do
     * @param cause what the system reported
     */
    public RuntimeMissingException(String message, Throwable cause) {
        super(message, cause);
    }
}
