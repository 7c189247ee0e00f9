// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Arrays;

/**
 * The item table of an open model file, read through its signature lookup, and its inner products
 * with a user embedding; {@link Model} sees to it that one thread at a time uses it.
 */
final class ItemTable {
    private final Signatures signatures;
    private final int items; // N
    private final int candidates; // C, rows of one call
    private final int embedding; // E
    private float[][] catalogue;

    ItemTable(Signatures signatures, int items, int candidates, int embedding) {
        this.signatures = signatures;
        this.items = items;
        this.candidates = candidates;
        this.embedding = embedding;
    }

    /** Embeddings, float [C * E], of rows, int [C]. */
    float[] lookup(int[] rows) throws PocketRecException {
        SignatureRunner runner = signatures.runner(Contract.LOOKUP);
        signatures.check(runner, Contract.LOOKUP, Contract.CANDIDATES, rows);
        runner.input(Contract.CANDIDATES).asIntBuffer().put(rows);
        runner.run();
        return Signatures.floats(runner, Contract.ITEM_EMBEDDINGS);
    }

    /** Scores, float [N + 1], of all rows; the table is read at the first call, and kept. */
    float[] scores(float[] user) throws PocketRecException {
        if (catalogue == null) {
            int[] rows = new int[items + 1];
            Arrays.setAll(rows, place -> place);
            float[][] table = new float[items + 1][embedding];
            for (int start = 0; start <= items; start += candidates) {
                read(rows, start, table, start);
            }
            catalogue = table;
        }
        return Scores.innerProducts(catalogue, user);
    }

    /** Scores, float [n], of rows, int [n]; of the table nothing is kept. */
    float[] scores(float[] user, int[] rows) throws PocketRecException {
        float[] scores = new float[rows.length];
        float[][] part = new float[candidates][embedding];
        for (int start = 0; start < rows.length; start += candidates) {
            int count = read(rows, start, part, 0);
            System.arraycopy(Scores.innerProducts(part, user), 0, scores, start, count);
        }
        return scores;
    }

    /**
     * Embeddings of the next rows, as many as one call gives, into a table; gives their number.
     *
     * @param start place of the first in {@code rows}
     * @param to place of its embedding in {@code table}
     */
    private int read(int[] rows, int start, float[][] table, int to) throws PocketRecException {
        int count = Math.min(candidates, rows.length - start);
        int[] wanted = Arrays.copyOfRange(rows, start, start + count);
        float[] found = lookup(Arrays.copyOf(wanted, candidates)); // 0 = padding
        for (int place = 0; place < count; place++) {
            System.arraycopy(found, place * embedding, table[to + place], 0, embedding);
        }
        return count;
    }
}
