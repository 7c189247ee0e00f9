// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** A text is not JSON, or not the JSON that was expected. */
public final class JsonException extends Exception {
    /**
     * @param message what is wrong, without what to do; one line comes of it, whatever stands in it
     */
    public JsonException(String message) {
        super(message.replaceAll("[\\p{Cntrl}\\p{Cs}]", "?"));
    }
}
