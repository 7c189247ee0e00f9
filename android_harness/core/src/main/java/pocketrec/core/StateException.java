// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** A personal state file is missing, damaged, or belongs to another model or user. */
public class StateException extends PocketRecException {
    /**
     * @param message one line that ends with what to do
     */
    public StateException(String message) {
        super(message);
    }

    /**
     * @param message one line that ends with what to do
     * @param cause what the system reported
     */
    public StateException(String message, Throwable cause) {
        super(message, cause);
    }
}
