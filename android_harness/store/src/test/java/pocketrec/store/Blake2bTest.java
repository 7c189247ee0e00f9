// SPDX-License-Identifier: Apache-2.0
package pocketrec.store;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

import pocketrec.core.Storage;

import java.nio.charset.StandardCharsets;

/** Vectors of RFC 7693, and of Python's hashlib for what the store uses. */
class Blake2bTest {
    private static String hex(String text, int size) {
        return Storage.hex(Blake2b.digest(text.getBytes(StandardCharsets.US_ASCII), size));
    }

    private static String letters(int count) {
        return new String(new char[count]).replace('\0', 'x');
    }

    @Test
    void theVectorOfTheStandard() {
        assertEquals(
                "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                        + "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
                hex("abc", 64));
    }

    @Test
    void ofEveryLengthAroundABlock() {
        assertEquals("cae66941d9efbd404e4d88758ea67670", hex("", 16));
        assertEquals("442a44457137672b3218c1007dc8f76a", hex(letters(1), 16));
        assertEquals("faeac286ccce46d5273182d599dd943b", hex(letters(127), 16));
        assertEquals("874acca82a22239ec64a3e70c3ae494e", hex(letters(128), 16));
        assertEquals("b9ee96f69e8210c624fee55d71d5a54f", hex(letters(129), 16));
        assertEquals("0b2c2b0de02938ad7a728b51e8da3357", hex(letters(256), 16));
        assertEquals("c9b2bd4ff487864c29fb41fab3e8187e", hex(letters(1000), 16));
    }
}
