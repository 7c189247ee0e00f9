// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Locale;

/**
 * Base of all errors that a user can cause or correct. The message is one line that ends with what
 * to do; whatever failed has changed nothing.
 */
public abstract class PocketRecException extends Exception {
    PocketRecException(String message) {
        super(oneLine(message));
    }

    PocketRecException(String message, Throwable cause) {
        super(oneLine(message), cause);
    }

    /**
     * The same with every sign escaped that would end the line or that UTF-8 cannot hold: names in
     * a damaged file may have any.
     */
    private static String oneLine(String message) {
        StringBuilder line = new StringBuilder(message.length());
        for (int at = 0; at < message.length(); at++) {
            char sign = message.charAt(at);
            boolean pair =
                    Character.isHighSurrogate(sign)
                            && at + 1 < message.length()
                            && Character.isLowSurrogate(message.charAt(at + 1));
            if (pair) {
                line.append(sign).append(message.charAt(++at));
            } else if (Character.isISOControl(sign)
                    || Character.isSurrogate(sign)
                    || sign == 0x2028
                    || sign == 0x2029) {
                line.append(String.format(Locale.ROOT, "\\" + "u%04x", (int) sign));
            } else {
                line.append(sign);
            }
        }
        return line.toString();
    }
}
