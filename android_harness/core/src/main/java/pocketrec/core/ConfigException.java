// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** An address, a key or an option is wrong. */
public final class ConfigException extends PocketRecException {
    /**
     * @param message one line that ends with what to do
     */
    public ConfigException(String message) {
        super(message);
    }

    /**
     * @param message one line that ends with what to do
     * @param cause what the system reported
     */
    public ConfigException(String message, Throwable cause) {
        super(message, cause);
    }
}
