// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/**
 * Doubles and permutations of {@code numpy.random.default_rng((seed, step, ...))}: SeedSequence (M.
 * O'Neill's seed_seq mixing) and PCG64, the 128-bit XSL-RR permuted congruential generator. So
 * negatives and replayed windows are drawn as the Python runner draws them.
 */
final class NumpyRandom {
    private static final int POOL = 4;
    private static final long MULTIPLIER_HIGH = 0x2360ED051FC65DA4L;
    private static final long MULTIPLIER_LOW = 0x4385DF649FCCF645L;

    private long stateHigh;
    private long stateLow;
    private final long incrementHigh;
    private final long incrementLow;
    private boolean half; // whether the upper half of a word waits for nextWord
    private long word;

    /**
     * @param entropy numbers in 0..2^31 - 1
     */
    NumpyRandom(int... entropy) {
        long[] seed = generateState(mixed(entropy));
        incrementHigh = seed[2] << 1 | seed[3] >>> 63;
        incrementLow = seed[3] << 1 | 1;
        step();
        add(seed[0], seed[1]);
        step();
    }

    /** The next number, uniform in [0, 1). */
    double nextDouble() {
        return (next() >>> 11) * 0x1.0p-53;
    }

    /** {@code Generator.permutation(count)}, int [count]. */
    int[] permutation(int count) {
        int[] order = new int[count];
        for (int place = 0; place < count; place++) {
            order[place] = place;
        }
        for (int place = count - 1; place > 0; place--) {
            int other = upTo(place);
            int kept = order[place];
            order[place] = order[other];
            order[other] = kept;
        }
        return order;
    }

    /** A number in 0..most, by rejection of those bits of a word that say more. */
    private int upTo(int most) {
        int mask = (Integer.highestOneBit(most) << 1) - 1;
        int value;
        do {
            value = (int) nextWord() & mask;
        } while (value > most);
        return value;
    }

    /** 32 bits: the lower half of a word of the generator, and then its upper half. */
    private long nextWord() {
        half = !half;
        if (half) {
            word = next();
            return word & 0xffffffffL;
        }
        return word >>> 32;
    }

    private long next() {
        step();
        return Long.rotateRight(stateHigh ^ stateLow, (int) (stateHigh >>> 58));
    }

    private void step() {
        long high =
                multiplyHigh(stateLow, MULTIPLIER_LOW)
                        + stateHigh * MULTIPLIER_LOW
                        + stateLow * MULTIPLIER_HIGH;
        stateLow *= MULTIPLIER_LOW;
        stateHigh = high;
        add(incrementHigh, incrementLow);
    }

    private void add(long high, long low) {
        stateLow += low;
        stateHigh += high + (Long.compareUnsigned(stateLow, low) < 0 ? 1 : 0);
    }

    /** The upper 64 bits of an unsigned product. */
    private static long multiplyHigh(long a, long b) {
        long aLow = a & 0xffffffffL;
        long aHigh = a >>> 32;
        long bLow = b & 0xffffffffL;
        long bHigh = b >>> 32;
        long middle = aHigh * bLow + (aLow * bLow >>> 32);
        long other = aLow * bHigh + (middle & 0xffffffffL);
        return aHigh * bHigh + (middle >>> 32) + (other >>> 32);
    }

    private static int[] mixed(int[] entropy) {
        int[] pool = new int[POOL];
        int[] constant = {0x43b0d7e5};
        for (int place = 0; place < POOL; place++) {
            pool[place] = hash(place < entropy.length ? entropy[place] : 0, constant);
        }
        for (int source = 0; source < POOL; source++) {
            for (int target = 0; target < POOL; target++) {
                if (source != target) {
                    pool[target] = mix(pool[target], hash(pool[source], constant));
                }
            }
        }
        for (int source = POOL; source < entropy.length; source++) {
            for (int target = 0; target < POOL; target++) {
                pool[target] = mix(pool[target], hash(entropy[source], constant));
            }
        }
        return pool;
    }

    private static int hash(int value, int[] constant) {
        value ^= constant[0];
        constant[0] *= 0x931e8875;
        value *= constant[0];
        return value ^ value >>> 16;
    }

    private static int mix(int x, int y) {
        int result = 0xca01f9dd * x - 0x4973f715 * y;
        return result ^ result >>> 16;
    }

    private static long[] generateState(int[] pool) {
        long[] state = new long[POOL];
        int constant = 0x8b51f9dd;
        for (int word = 0; word < 2 * POOL; word++) {
            int value = pool[word % POOL] ^ constant;
            constant *= 0x58f38ded;
            value *= constant;
            value ^= value >>> 16;
            state[word / 2] |= (value & 0xffffffffL) << 32 * (word % 2);
        }
        return state;
    }
}
