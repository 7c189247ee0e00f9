// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.Arrays;

import javax.crypto.Cipher;
import javax.crypto.Mac;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Encryption at rest with a key that the application gives: AES-256-GCM, in the form of
 * device/store/sealing.py. Where the key is kept is the application's matter; PocketRec never
 * writes it. An application hands the key itself to {@link Recommender} and the event store;
 * PocketRec's modules use this.
 */
public final class Seal {
    /** Bytes of a key. */
    public static final int KEY_BYTES = 32;

    private static final int NONCE = 12; // bytes; random
    private static final int TAG = 16; // bytes
    private static final SecureRandom RANDOM = new SecureRandom();

    private final SecretKeySpec cipherKey;
    private final byte[] markKey;

    /**
     * @param key 32 random bytes
     * @throws ConfigException the key has another length
     */
    public Seal(byte[] key) throws ConfigException {
        if (key.length != KEY_BYTES) {
            throw new ConfigException(
                    "the key has "
                            + key.length
                            + " bytes and not "
                            + KEY_BYTES
                            + ": make one of so many random bytes");
        }
        cipherKey = new SecretKeySpec(derived(key, "seal"), "AES");
        markKey = derived(key, "mark");
    }

    /** The seal of a key; null where there is none. */
    public static Seal of(byte[] key) throws ConfigException {
        return key == null ? null : new Seal(key);
    }

    /**
     * The sealed content, 28 bytes longer.
     *
     * @param about is not in it and has to be the same when it is opened
     */
    public byte[] seal(byte[] content, byte[] about) {
        byte[] nonce = new byte[NONCE];
        RANDOM.nextBytes(nonce);
        try {
            byte[] sealed = cipher(Cipher.ENCRYPT_MODE, nonce, about).doFinal(content);
            byte[] whole = Arrays.copyOf(nonce, NONCE + sealed.length);
            System.arraycopy(sealed, 0, whole, NONCE, sealed.length);
            return whole;
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException("this system has no AES-GCM", error);
        }
    }

    /**
     * The inverse of {@link #seal}.
     *
     * @throws SealException sealed with another key or another {@code about}, or altered
     */
    public byte[] open(byte[] sealed, byte[] about) throws SealException {
        if (sealed.length < NONCE + TAG) {
            throw new SealException();
        }
        byte[] nonce = Arrays.copyOf(sealed, NONCE);
        Cipher cipher;
        try {
            cipher = cipher(Cipher.DECRYPT_MODE, nonce, about);
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException("this system has no AES-GCM", error);
        }
        try {
            return cipher.doFinal(sealed, NONCE, sealed.length - NONCE);
        } catch (GeneralSecurityException error) {
            throw new SealException();
        }
    }

    /** 16 bytes by which equal contents are known, which tell nothing without the key. */
    public byte[] mark(byte[] content) {
        return Arrays.copyOf(hmac(markKey, content), 16);
    }

    private Cipher cipher(int mode, byte[] nonce, byte[] about) throws GeneralSecurityException {
        Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
        cipher.init(mode, cipherKey, new GCMParameterSpec(8 * TAG, nonce));
        if (about.length > 0) {
            cipher.updateAAD(about);
        }
        return cipher;
    }

    /** A key for one purpose: HKDF's expansion (RFC 5869), one block. */
    private static byte[] derived(byte[] key, String purpose) {
        String info = "pocketrec " + purpose + "\u0001";
        return hmac(key, info.getBytes(StandardCharsets.US_ASCII));
    }

    private static byte[] hmac(byte[] key, byte[] content) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            return mac.doFinal(content);
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException("this system has no HMAC-SHA256", error);
        }
    }
}
