// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** An event store is damaged, in use, encrypted, or not a store. */
public final class StoreException extends PocketRecException {
    /**
     * @param message one line that ends with what to do
     */
    public StoreException(String message) {
        super(message);
    }

    /**
     * @param message one line that ends with what to do
     * @param cause what the system reported
     */
    public StoreException(String message, Throwable cause) {
        super(message, cause);
    }
}
