// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

class JsonTest {
    @Test
    void readsEveryKindOfValue() throws JsonException {
        Map<?, ?> map =
                (Map<?, ?>)
                        Json.parse(
                                " {\"a\": [1, -2.5e1, true, false, null], \"\\u00fc\\n"
                                        + "\\\"\": {}, \"big\": 9223372036854775807} ");
        assertEquals(Arrays.asList(1L, -25.0, true, false, null), map.get("a"));
        assertEquals("[a, \u00fc\n\", big]", map.keySet().toString());
        assertEquals(Long.MAX_VALUE, map.get("big"));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                " ",
                "{",
                "[1",
                "[1,]",
                "{\"a\"}",
                "{\"a\":1,}",
                "{a:1}",
                "01",
                "1.",
                "-",
                "1e",
                "+1",
                "NaN",
                "Infinity",
                "tru",
                "\"",
                "\"\\x\"",
                "\"\\u12g4\"",
                "\"\t\"",
                "1 2",
                "{\"a\":1,\"a\":2}",
                "1e999",
                "nul",
            })
    void refusesWhatIsNotJson(String document) {
        assertThrows(JsonException.class, () -> Json.parse(document));
    }

    @Test
    void wholeNumbersOfAnySizeButAnAbsurdOne() throws Exception {
        assertEquals(9223372036854775807L, Json.parse("9223372036854775807"));
        assertEquals(
                new java.math.BigInteger("9223372036854775808"), Json.parse("9223372036854775808"));
        String absurd = new String(new char[1001]).replace('\0', '9');
        assertThrows(JsonException.class, () -> Json.parse(absurd));
    }

    @Test
    void aWholeNumberIsWrittenAsItWasReadHoweverLongItIs() throws JsonException {
        String number = "1" + new String(new char[400]).replace('\0', '0'); // no double holds it
        assertEquals(number, Json.write(Json.parse(number)));
        Object table = Json.parse("{\"a\": -" + number + "}");
        assertEquals("{\"a\":-" + number + "}", Json.canonical(table));
    }

    @Test
    void refusesWrongBytesAndDeepNesting() {
        assertThrows(JsonException.class, () -> Json.parse(new byte[] {'"', (byte) 0xff, '"'}));
        char[] open = new char[100_000];
        Arrays.fill(open, '[');
        assertThrows(JsonException.class, () -> Json.parse(new String(open)));
    }

    @Test
    void writesAsPythonDoes() throws JsonException {
        String text =
                "{\"b\": [1, 2.5, null, true], \"a\": \"\\u00fc\\ud83d\\ude00\\\"\\\\\\n\\u0001\"}";
        Object value = Json.parse(text);
        assertEquals(text, Json.write(value));
        assertEquals(
                "{\"a\":\"\\u00fc\\ud83d\\ude00\\\"\\\\\\n\\u0001\",\"b\":[1,2.5,null,true]}",
                Json.canonical(value));
        assertEquals(value, Json.parse(Json.compact(value).getBytes(StandardCharsets.UTF_8)));
        List<Double> bad = Arrays.asList(Double.NaN);
        assertThrows(IllegalArgumentException.class, () -> Json.write(bad));
    }
}
