// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.function.Executable;

import pocketrec.core.PocketRecException;

/** What holds for every typed exception. */
final class Refusals {
    private Refusals() {}

    /**
     * The exception is of the type, is one line, holds the words, and says after the last colon
     * what to do.
     */
    static void refused(Class<? extends PocketRecException> type, String words, Executable work) {
        String message = assertThrows(type, work).getMessage();
        assertTrue(message.contains(words), message);
        assertFalse(message.contains("\n"), message);
        String advice = message.substring(message.lastIndexOf(": ") + 2);
        assertTrue(
                advice.matches(
                        "(fetch|export|name|use|update|reset|restore|free|set|install|give|ask|start|save)\\b.*"),
                message);
    }
}
