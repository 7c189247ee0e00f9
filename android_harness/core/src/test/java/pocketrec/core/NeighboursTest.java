// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;

class NeighboursTest {
    /** Of four items: 1 goes with 2 (.5) and 3 (.25), 2 with 4 (.1). */
    private static TensorFile file(int[] rows) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        tensors.put("counts", Tensor.of(new int[] {0, 2, 1, 0, 0}));
        tensors.put("rows", Tensor.of(rows));
        tensors.put("codes", Tensor.of(new int[] {127, 64, 127}));
        tensors.put("scales", Tensor.of(new float[] {0, 0.5f, 0.1f, 0, 0}, new int[] {5}));
        Map<String, String> metadata = new LinkedHashMap<>();
        metadata.put("decay", "0.5");
        metadata.put("strength", "2.0");
        return new TensorFile(tensors, metadata);
    }

    @Test
    void scoresAreRaisedByTheFormula() throws TensorFileException {
        float[] scores = {1, 1, 1, 1};
        Neighbours neighbours = Neighbours.of(file(new int[] {2, 3, 4}), 4);
        neighbours.addTo(scores, new int[] {4, 3, 1, 2}, new int[] {1, 2});
        double most = 0.25;
        float two = (float) (1 + 2 * Math.log1p(100 * 0.25 / most));
        float three = (float) (1 + 2 * Math.log1p(100 * 0.25 * 64 / 127 / most));
        float four = (float) (1 + 2 * Math.log1p(100 * 0.1 / most));
        assertArrayEquals(new float[] {four, three, 1, two}, scores, 1e-5f);
    }

    @Test
    void nothingIsRaisedWithoutNeighbours() throws TensorFileException {
        float[] scores = {1, 1};
        Neighbours neighbours = Neighbours.of(file(new int[] {2, 3, 4}), 4);
        neighbours.addTo(scores, new int[] {4, 2}, new int[] {3, 4});
        neighbours.addTo(scores, new int[] {4, 2}, new int[0]);
        assertArrayEquals(new float[] {1, 1}, scores);
    }

    @Test
    void aTableThatDoesNotFitIsRefused() {
        assertThrows(
                TensorFileException.class, () -> Neighbours.of(file(new int[] {2, 3, 5}), 4));
        assertThrows(
                TensorFileException.class, () -> Neighbours.of(file(new int[] {2, 3, 4}), 5));
    }
}
