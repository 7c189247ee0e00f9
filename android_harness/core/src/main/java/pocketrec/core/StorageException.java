// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** A file could not be written (full storage, no permission). */
public final class StorageException extends PocketRecException {
    /**
     * @param message one line that ends with what to do
     */
    public StorageException(String message) {
        super(message);
    }

    /**
     * @param message one line that ends with what to do
     * @param cause what the system reported
     */
    public StorageException(String message, Throwable cause) {
        super(message, cause);
    }
}
