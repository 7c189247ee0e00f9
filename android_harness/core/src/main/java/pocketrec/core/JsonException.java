package pocketrec.core;

/**
 * A document is not JSON, or not of the promised form. The message says in what way, and not what
 * to do.
 */
public final class JsonException extends Exception {
    JsonException(String reason) {
        super(reason);
    }
}
