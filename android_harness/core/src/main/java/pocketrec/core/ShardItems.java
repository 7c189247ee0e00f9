// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** Items of one candidate shard that the head of a lean bundle's table lacks. */
final class ShardItems {
    private static final String TABLE = "table"; // int8 [n, E]
    private static final String SCALES = "scales"; // unsigned 16-bit [n], upper halves of float32
    private static final String IDS = "items"; // metadata: JSON list of n item ids

    /** External ids, n of them; the i-th (from 0) has row H + B + 1 + i. */
    final List<String> ids;

    /** int8 [n * E]. */
    final byte[] numbers;

    /** float32 [n]; embedding = numbers * scale. */
    final float[] scales;

    private ShardItems(List<String> ids, byte[] numbers, float[] scales) {
        this.ids = ids;
        this.numbers = numbers;
        this.scales = scales;
    }

    /**
     * Reads them from a shard.
     *
     * @throws TensorFileException the file lacks them, or they do not fit
     */
    static ShardItems of(TensorFile shard, int embedding) throws TensorFileException {
        Tensor table = shard.tensors.get(TABLE);
        Tensor upper = shard.tensors.get(SCALES);
        List<String> ids = new ArrayList<>();
        try {
            Object listed = Json.parse(String.valueOf(shard.metadata.get(IDS)));
            for (Object id : listed instanceof List ? (List<?>) listed : Collections.emptyList()) {
                if (!(id instanceof String)) {
                    throw new TensorFileException("its items are not a list of ids");
                }
                ids.add((String) id);
            }
        } catch (JsonException error) {
            throw new TensorFileException("it has no list of items");
        }
        if (table == null
                || upper == null
                || !table.dtype.equals("I8")
                || table.shape.length != 2
                || table.shape[0] != ids.size()
                || table.shape[1] != embedding
                || upper.elements() != ids.size()) {
            throw new TensorFileException("ids and rows of its items do not fit");
        }
        byte[] numbers = new byte[table.elements()];
        ByteBuffer bytes = table.bytes();
        bytes.get(numbers);
        float[] scales = new float[ids.size()];
        for (int place = 0; place < scales.length; place++) {
            scales[place] = Float.intBitsToFloat(upper.ints(place, 1)[0] << 16);
            if (Float.isNaN(scales[place]) || Float.isInfinite(scales[place])) {
                throw new TensorFileException("a scale of its items is not a number");
            }
        }
        return new ShardItems(ids, numbers, scales);
    }
}
