package pocketrec.core;

/**
 * Base of all errors that a user can cause or correct. The message is one line that ends with what to
 * do; whatever failed has changed nothing.
 */
public abstract class PocketRecException extends Exception {
    PocketRecException(String message) {
        super(message);
    }

    PocketRecException(String message, Throwable cause) {
        super(message, cause);
    }
}
