// SPDX-License-Identifier: Apache-2.0
package pocketrec.store;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * BLAKE2b without a key (RFC 7693), which neither Android nor Java 8 has. The store's checksums are
 * of 16 bytes.
 */
final class Blake2b {
    private static final int BLOCK = 128;
    private static final long[] IV = {
        0x6a09e667f3bcc908L, 0xbb67ae8584caa73bL, 0x3c6ef372fe94f82bL, 0xa54ff53a5f1d36f1L,
        0x510e527fade682d1L, 0x9b05688c2b3e6c1fL, 0x1f83d9abfb41bd6bL, 0x5be0cd19137e2179L
    };
    private static final byte[][] SIGMA = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
        {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
        {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
        {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
        {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
        {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
        {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
        {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
        {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
        {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
        {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3}
    };

    private Blake2b() {}

    /**
     * The digest of some bytes.
     *
     * @param size bytes of the digest, 1 to 64
     */
    static byte[] digest(byte[] content, int size) {
        long[] state = IV.clone();
        state[0] ^= 0x01010000L ^ size;
        int blocks = Math.max(1, (content.length + BLOCK - 1) / BLOCK);
        for (int block = 0; block < blocks; block++) {
            boolean last = block == blocks - 1;
            int end = Math.min(content.length, (block + 1) * BLOCK);
            byte[] part = Arrays.copyOf(Arrays.copyOfRange(content, block * BLOCK, end), BLOCK);
            compress(state, part, end, last);
        }
        ByteBuffer out = ByteBuffer.allocate(64).order(ByteOrder.LITTLE_ENDIAN);
        for (long word : state) {
            out.putLong(word);
        }
        return Arrays.copyOf(out.array(), size);
    }

    private static void compress(long[] state, byte[] block, long counted, boolean last) {
        long[] words = new long[16];
        ByteBuffer.wrap(block).order(ByteOrder.LITTLE_ENDIAN).asLongBuffer().get(words);
        long[] v = Arrays.copyOf(state, 16);
        System.arraycopy(IV, 0, v, 8, 8);
        v[12] ^= counted;
        if (last) {
            v[14] = ~v[14];
        }
        for (byte[] order : SIGMA) {
            mix(v, 0, 4, 8, 12, words[order[0]], words[order[1]]);
            mix(v, 1, 5, 9, 13, words[order[2]], words[order[3]]);
            mix(v, 2, 6, 10, 14, words[order[4]], words[order[5]]);
            mix(v, 3, 7, 11, 15, words[order[6]], words[order[7]]);
            mix(v, 0, 5, 10, 15, words[order[8]], words[order[9]]);
            mix(v, 1, 6, 11, 12, words[order[10]], words[order[11]]);
            mix(v, 2, 7, 8, 13, words[order[12]], words[order[13]]);
            mix(v, 3, 4, 9, 14, words[order[14]], words[order[15]]);
        }
        for (int place = 0; place < 8; place++) {
            state[place] ^= v[place] ^ v[place + 8];
        }
    }

    private static void mix(long[] v, int a, int b, int c, int d, long x, long y) {
        v[a] += v[b] + x;
        v[d] = Long.rotateRight(v[d] ^ v[a], 32);
        v[c] += v[d];
        v[b] = Long.rotateRight(v[b] ^ v[c], 24);
        v[a] += v[b] + y;
        v[d] = Long.rotateRight(v[d] ^ v[a], 16);
        v[c] += v[d];
        v[b] = Long.rotateRight(v[b] ^ v[c], 63);
    }
}
