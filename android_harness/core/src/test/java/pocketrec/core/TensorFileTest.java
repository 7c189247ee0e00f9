// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

class TensorFileTest {
    /** What device/contract/tensorfile.py makes of the same content. */
    private static final String PYTHON =
            "f0000000000000007b225f5f6d657461646174615f5f223a7b22736861323536223a22613737376666626565326561356335"
                + "3935366162393035636661363835323162623532653566373736616362623632636665393631356461326139633132356522"
                + "2c226b696e64223a225c75303064636e5c75303065665c6e222c226e223a2231227d2c2261223a7b226474797065223a2249"
                + "3332222c227368617065223a5b335d2c22646174615f6f666673657473223a5b302c31325d7d2c2262223a7b226474797065"
                + "223a22463332222c227368617065223a5b312c325d2c22646174615f6f666673657473223a5b31322c32305d7d7d20200000"
                + "000001000000020000000000c03f000000c0";

    private static byte[] dumped() {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        tensors.put("a", Tensor.of(new int[] {0, 1, 2}));
        tensors.put("b", Tensor.of(new float[] {1.5f, -2f}, new int[] {1, 2}));
        Map<String, String> metadata = new LinkedHashMap<>();
        metadata.put("kind", "\u00dcn\u00ef\n");
        metadata.put("n", "1");
        return new TensorFile(tensors, metadata).dump();
    }

    @Test
    void bytesAreThoseOfPython() {
        assertEquals(PYTHON, Storage.hex(dumped()));
    }

    @Test
    void contentComesBack() throws TensorFileException {
        TensorFile read = TensorFile.parse(dumped());
        assertArrayEquals(new int[] {0, 1, 2}, read.tensors.get("a").ints(0, 3));
        assertArrayEquals(new float[] {1.5f, -2f}, read.tensors.get("b").floats());
        assertArrayEquals(new int[] {1, 2}, read.tensors.get("b").shape);
        assertEquals("{kind=\u00dcn\u00ef\n, n=1}", read.metadata.toString());
        assertThrows(TensorFileException.class, () -> read.tensors.get("a").floats());
    }

    @Test
    void everyCutAndEveryFlippedBitIsFound() {
        byte[] good = dumped();
        for (int length = 0; length < good.length; length++) {
            byte[] cut = Arrays.copyOf(good, length);
            assertThrows(TensorFileException.class, () -> TensorFile.parse(cut));
        }
        for (int place = 0; place < 8 * good.length; place++) {
            byte[] flipped = good.clone();
            flipped[place / 8] ^= (byte) (1 << place % 8);
            assertThrows(TensorFileException.class, () -> TensorFile.parse(flipped));
        }
    }
}
