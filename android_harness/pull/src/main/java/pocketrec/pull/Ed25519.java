// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import java.math.BigInteger;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;

/**
 * Verification of Ed25519 signatures (RFC 8032, section 5.1.7), which Android has from API 33 on
 * and Java from 15 on. Whole numbers of {@link BigInteger}: some milliseconds for a signature.
 * Nothing here is secret, so that time may tell what it likes; there is no signing.
 */
final class Ed25519 {
    private static final BigInteger TWO = BigInteger.valueOf(2);
    private static final BigInteger P = TWO.pow(255).subtract(BigInteger.valueOf(19));
    private static final BigInteger ORDER =
            TWO.pow(252).add(new BigInteger("27742317777372353535851937790883648493"));
    private static final BigInteger D =
            BigInteger.valueOf(-121665).multiply(BigInteger.valueOf(121666).modInverse(P)).mod(P);
    private static final BigInteger TWICE_D = D.shiftLeft(1).mod(P);
    private static final BigInteger NINETEEN = BigInteger.valueOf(19);
    private static final BigInteger LOW = TWO.pow(255).subtract(BigInteger.ONE);
    private static final BigInteger ROOT =
            TWO.modPow(P.subtract(BigInteger.ONE).shiftRight(2), P); // of -1
    private static final BigInteger[] BASE =
            point(BigInteger.valueOf(4).multiply(BigInteger.valueOf(5).modInverse(P)).mod(P), 0);

    private Ed25519() {}

    /**
     * Whether a key has signed some bytes.
     *
     * @param key 32 bytes
     * @param signature 64 bytes
     * @param content what was signed
     */
    static boolean verify(byte[] key, byte[] signature, byte[] content) {
        if (key.length != 32 || signature.length != 64) {
            return false;
        }
        byte[] first = Arrays.copyOf(signature, 32);
        BigInteger s = number(Arrays.copyOfRange(signature, 32, 64));
        BigInteger[] a = decoded(key);
        if (a == null || s.compareTo(ORDER) >= 0) {
            return false;
        }
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-512");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
        digest.update(first);
        digest.update(key);
        BigInteger k = number(digest.digest(content)).mod(ORDER);
        // R = s B - k A, and its bytes are the ones that the signature begins with.
        BigInteger[] negated = {P.subtract(a[0]), a[1], a[2], P.subtract(a[3])};
        BigInteger[] r = sum(s, BASE, k, negated);
        return Arrays.equals(encoded(r), first);
    }

    /** A little-endian number. */
    private static BigInteger number(byte[] bytes) {
        byte[] reversed = new byte[bytes.length];
        for (int place = 0; place < bytes.length; place++) {
            reversed[place] = bytes[bytes.length - 1 - place];
        }
        return new BigInteger(1, reversed);
    }

    /** A point from its 32 bytes; null where they are none. */
    private static BigInteger[] decoded(byte[] bytes) {
        byte[] low = bytes.clone();
        low[31] &= 0x7F;
        BigInteger y = number(low);
        return y.compareTo(P) >= 0 ? null : point(y, bytes[31] >> 7 & 1);
    }

    /** The point (x, y) in extended coordinates; null where no x is on the curve. */
    private static BigInteger[] point(BigInteger y, int sign) {
        BigInteger square = y.multiply(y).mod(P);
        BigInteger u = square.subtract(BigInteger.ONE).mod(P);
        BigInteger v = D.multiply(square).add(BigInteger.ONE).mod(P);
        BigInteger ratio = u.multiply(v.modInverse(P)).mod(P);
        BigInteger x = ratio.modPow(P.add(BigInteger.valueOf(3)).shiftRight(3), P);
        if (!x.multiply(x).mod(P).equals(ratio)) {
            x = x.multiply(ROOT).mod(P);
        }
        if (!x.multiply(x).mod(P).equals(ratio) || x.signum() == 0 && sign == 1) {
            return null;
        }
        if (x.testBit(0) != (sign == 1)) {
            x = P.subtract(x);
        }
        return new BigInteger[] {x, y, BigInteger.ONE, x.multiply(y).mod(P)};
    }

    private static byte[] encoded(BigInteger[] point) {
        BigInteger inverse = point[2].mod(P).modInverse(P);
        BigInteger x = point[0].multiply(inverse).mod(P);
        byte[] big = point[1].multiply(inverse).mod(P).toByteArray();
        byte[] bytes = new byte[32];
        for (int place = 0; place < Math.min(32, big.length); place++) {
            bytes[place] = big[big.length - 1 - place];
        }
        bytes[31] |= (byte) (x.testBit(0) ? 0x80 : 0);
        return bytes;
    }

    /** a A + b B, with one doubling for each bit of the larger factor. */
    private static BigInteger[] sum(BigInteger a, BigInteger[] p, BigInteger b, BigInteger[] q) {
        BigInteger[] both = added(p, q);
        BigInteger[] sum = {BigInteger.ZERO, BigInteger.ONE, BigInteger.ONE, BigInteger.ZERO};
        for (int bit = Math.max(a.bitLength(), b.bitLength()) - 1; bit >= 0; bit--) {
            sum = doubled(sum);
            if (a.testBit(bit) || b.testBit(bit)) {
                sum = added(sum, !a.testBit(bit) ? q : b.testBit(bit) ? both : p);
            }
        }
        return sum;
    }

    /** The complete addition of section 5.1.4. */
    private static BigInteger[] added(BigInteger[] p, BigInteger[] q) {
        BigInteger a = product(p[1].subtract(p[0]), q[1].subtract(q[0]));
        BigInteger b = product(p[1].add(p[0]), q[1].add(q[0]));
        BigInteger c = product(product(p[3], q[3]), TWICE_D);
        BigInteger d = product(p[2], q[2]).shiftLeft(1);
        return fromParts(b.subtract(a), d.subtract(c), d.add(c), b.add(a));
    }

    /** The doubling of section 5.1.4. */
    private static BigInteger[] doubled(BigInteger[] p) {
        BigInteger a = product(p[0], p[0]);
        BigInteger b = product(p[1], p[1]);
        BigInteger c = product(p[2], p[2]).shiftLeft(1);
        BigInteger h = a.add(b);
        BigInteger both = p[0].add(p[1]);
        BigInteger e = h.subtract(product(both, both));
        BigInteger g = a.subtract(b);
        return fromParts(e, c.add(g), g, h);
    }

    private static BigInteger[] fromParts(BigInteger e, BigInteger f, BigInteger g, BigInteger h) {
        return new BigInteger[] {product(e, f), product(g, h), product(f, g), product(e, h)};
    }

    /** A product below 2^256, equal modulo P: 2^255 is 19. */
    private static BigInteger product(BigInteger one, BigInteger other) {
        BigInteger product = one.multiply(other);
        boolean negative = product.signum() < 0;
        product = product.abs();
        for (int fold = 0; fold < 2; fold++) {
            BigInteger high = product.shiftRight(255);
            product = product.and(LOW).add(high.multiply(NINETEEN));
        }
        return negative ? product.negate() : product;
    }
}
