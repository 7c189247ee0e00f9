// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** An event, a candidate list or a number that the application gave is not in the promised form. */
public final class DataException extends PocketRecException {
    /**
     * @param message one line that ends with what to do
     */
    public DataException(String message) {
        super(message);
    }

    /**
     * @param message one line that ends with what to do
     * @param cause what the system reported
     */
    public DataException(String message, Throwable cause) {
        super(message, cause);
    }
}
