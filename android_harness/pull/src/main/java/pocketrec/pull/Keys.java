// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import pocketrec.core.ConfigException;
import pocketrec.core.Storage;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;
import java.util.Locale;

/** Public keys of publishers: 64 hexadecimal digits, or a PEM file. */
final class Keys {
    private static final String HOW = ": give the publisher's KEY.pub, or its 64 digits";
    private static final byte[] BEFORE = { // SubjectPublicKeyInfo of Ed25519, RFC 8410
        0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00
    };

    private Keys() {}

    /**
     * The public key that a file holds, or that the text itself is: 64 hexadecimal digits.
     *
     * @throws ConfigException neither
     */
    static String read(String given) throws ConfigException {
        String text = given.trim().toLowerCase(Locale.ROOT);
        if (text.matches("[0-9a-f]{64}") && !new File(given).exists()) {
            return text;
        }
        byte[] content;
        try {
            content = Storage.read(new File(given));
        } catch (IOException error) {
            throw new ConfigException(
                    "cannot read the public key "
                            + given
                            + " ("
                            + Storage.reason(error)
                            + ")"
                            + HOW,
                    error);
        }
        String pem = new String(content, StandardCharsets.ISO_8859_1).trim();
        String begin = "-----BEGIN PUBLIC KEY-----";
        String end = "-----END PUBLIC KEY-----";
        if (pem.startsWith(begin) && pem.endsWith(end)) {
            String body = pem.substring(begin.length(), pem.length() - end.length());
            try {
                byte[] key = Base64.getMimeDecoder().decode(body);
                if (key.length == BEFORE.length + 32
                        && Arrays.equals(Arrays.copyOf(key, BEFORE.length), BEFORE)) {
                    return Storage.hex(Arrays.copyOfRange(key, BEFORE.length, key.length));
                }
            } catch (IllegalArgumentException error) {
                // falls through: no key
            }
        }
        throw new ConfigException(given + " holds no public Ed25519 key" + HOW);
    }

    /** Whether a key has signed some bytes; both in hexadecimal digits. */
    static boolean hasSigned(String key, String signature, byte[] content) {
        return Ed25519.verify(bytes(key), bytes(signature), content);
    }

    private static byte[] bytes(String digits) {
        byte[] bytes = new byte[digits.length() / 2];
        for (int place = 0; place < bytes.length; place++) {
            bytes[place] = (byte) Integer.parseInt(digits.substring(2 * place, 2 * place + 2), 16);
        }
        return bytes;
    }
}
