// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

import java.util.Random;

class TextTest {
    @Test
    void numbersAsPythonWritesThem() {
        Object[][] known = {
            {1.7e9, "1700000000.0"},
            {0.0, "0.0"},
            {-0.0, "-0.0"},
            {1e16, "1e+16"},
            {9007199254740993.0, "9007199254740992.0"},
            {1e15 + 0.5, "1000000000000000.5"},
            {1e-5, "1e-05"},
            {0.0001, "0.0001"},
            {5e-324, "5e-324"},
            {-1.5e300, "-1.5e+300"},
            {Math.scalb(1.0, 275), "6.070840288205404e+82"},
            {1 / 3.0, "0.3333333333333333"},
            {2e-3, "0.002"},
            {1234567.125, "1234567.125"},
            {1.7976931348623157e308, "1.7976931348623157e+308"}
        };
        for (Object[] one : known) {
            assertEquals(one[1], Text.number((Double) one[0]));
        }
        assertThrows(IllegalArgumentException.class, () -> Text.number(Double.NaN));
    }

    @Test
    void everyNumberReadsBackAsItself() {
        Random random = new Random(1);
        for (int draw = 0; draw < 2000; draw++) {
            double value = Double.longBitsToDouble(random.nextLong());
            if (!Double.isNaN(value) && !Double.isInfinite(value)) {
                assertEquals(value, Double.parseDouble(Text.number(value)));
            }
        }
    }

    @Test
    void halvesOfSurrogatePairsHaveBytes() {
        assertArrayEquals(
                new byte[] {'a', (byte) 0xED, (byte) 0xB2, (byte) 0x80, 'b'},
                Text.utf8("a\udc80b"));
        String whole = "\ud83d\ude00 \u00fc";
        assertEquals(whole, new String(Text.utf8(whole), java.nio.charset.StandardCharsets.UTF_8));
    }
}
