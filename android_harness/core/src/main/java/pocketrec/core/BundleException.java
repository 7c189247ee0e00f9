// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/**
 * A bundle is missing, incomplete, altered, of a format that this version does not read, or its
 * model does not run.
 */
public final class BundleException extends PocketRecException {
    /**
     * @param message one line that ends with what to do
     */
    public BundleException(String message) {
        super(message);
    }

    /**
     * @param message one line that ends with what to do
     * @param cause what the system reported
     */
    public BundleException(String message, Throwable cause) {
        super(message, cause);
    }
}
