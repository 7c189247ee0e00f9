// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** An array has another size than the signature's input; the signature was not run. */
public final class ShapeException extends PocketRecException {
    /**
     * @param message one line that ends with what to do
     */
    public ShapeException(String message) {
        super(message);
    }

    /**
     * @param message one line that ends with what to do
     * @param cause what the system reported
     */
    public ShapeException(String message, Throwable cause) {
        super(message, cause);
    }
}
