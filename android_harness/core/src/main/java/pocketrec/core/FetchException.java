// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** A bundle could not be fetched, or what was fetched is not to be trusted. */
public class FetchException extends PocketRecException {
    /**
     * @param message one line that ends with what to do
     */
    public FetchException(String message) {
        super(message);
    }

    /**
     * @param message one line that ends with what to do
     * @param cause what the system reported
     */
    public FetchException(String message, Throwable cause) {
        super(message, cause);
    }
}
