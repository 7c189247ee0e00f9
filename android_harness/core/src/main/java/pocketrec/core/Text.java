// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.nio.charset.StandardCharsets;

/** Texts as Python writes them, so that checksums of the two sides are the same. */
public final class Text {
    private static final double EXACT = 1L << 53; // whole numbers up to here have one text

    private Text() {}

    /**
     * The shortest decimal text that reads back as the same number, in the form of Python's {@code
     * repr}: {@code 1700000000.0}, {@code 1e-05}, {@code 1e+16}. Java's own is not always the
     * shortest before Java 19, and has another form.
     *
     * @throws IllegalArgumentException the number is not finite
     */
    public static String number(double value) {
        if (Double.isNaN(value) || Double.isInfinite(value)) {
            throw new IllegalArgumentException(value + " is not finite");
        }
        if (value == Math.rint(value) && Math.abs(value) < EXACT) {
            boolean minusZero = value == 0 && 1 / value < 0;
            return (minusZero ? "-0" : Long.toString((long) value)) + ".0";
        }
        BigDecimal shortest = shortest(new BigDecimal(value), value).stripTrailingZeros();
        String digits = shortest.unscaledValue().abs().toString();
        int point = digits.length() - shortest.scale(); // place of the decimal point
        StringBuilder out = new StringBuilder(value < 0 ? "-" : "");
        if (point <= -4 || point > 16) {
            out.append(digits.charAt(0));
            if (digits.length() > 1) {
                out.append('.').append(digits, 1, digits.length());
            }
            int exponent = point - 1;
            out.append(exponent < 0 ? "e-" : "e+").append(Math.abs(exponent) < 10 ? "0" : "");
            return out.append(Math.abs(exponent)).toString();
        }
        if (point <= 0) {
            out.append("0.");
            for (int zero = point; zero < 0; zero++) {
                out.append('0');
            }
            return out.append(digits).toString();
        }
        if (point >= digits.length()) {
            out.append(digits);
            for (int zero = digits.length(); zero < point; zero++) {
                out.append('0');
            }
            return out.append(".0").toString();
        }
        return out.append(digits, 0, point).append('.').append(digits.substring(point)).toString();
    }

    /** Whether a text has no half of a surrogate pair. */
    static boolean isWhole(String text) {
        return StandardCharsets.UTF_8.newEncoder().canEncode(text);
    }

    private static BigDecimal shortest(BigDecimal exact, double value) {
        // At a power of two the neighbour below is nearer than the one above, so that the second
        // nearest decimal may read back as the number where the nearest one does not.
        RoundingMode[] modes = {RoundingMode.HALF_EVEN, RoundingMode.UP, RoundingMode.DOWN};
        for (int digits = 1; digits < 17; digits++) {
            for (RoundingMode mode : modes) {
                BigDecimal rounded = exact.round(new MathContext(digits, mode));
                if (rounded.doubleValue() == value) {
                    return rounded;
                }
            }
        }
        return exact.round(new MathContext(17, RoundingMode.HALF_EVEN));
    }

    /**
     * The UTF-8 bytes of a text. Half a surrogate pair, which no UTF-8 has a place for, becomes the
     * three bytes that Python's {@code surrogatepass} gives, where Java would put a question mark.
     */
    public static byte[] utf8(String text) {
        java.io.ByteArrayOutputStream out = new java.io.ByteArrayOutputStream(text.length() + 8);
        int start = 0;
        for (int place = 0; place < text.length(); place++) {
            char one = text.charAt(place);
            if (!Character.isSurrogate(one)) {
                continue;
            }
            if (Character.isHighSurrogate(one)
                    && place + 1 < text.length()
                    && Character.isLowSurrogate(text.charAt(place + 1))) {
                place++;
                continue;
            }
            byte[] before = text.substring(start, place).getBytes(StandardCharsets.UTF_8);
            out.write(before, 0, before.length);
            out.write(0xE0 | one >> 12);
            out.write(0x80 | one >> 6 & 0x3F);
            out.write(0x80 | one & 0x3F);
            start = place + 1;
        }
        byte[] rest = text.substring(start).getBytes(StandardCharsets.UTF_8);
        out.write(rest, 0, rest.length);
        return out.toByteArray();
    }
}
