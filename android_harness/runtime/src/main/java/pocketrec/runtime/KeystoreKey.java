// SPDX-License-Identifier: Apache-2.0
package pocketrec.runtime;

import android.security.keystore.KeyGenParameterSpec;
import android.security.keystore.KeyProperties;

import pocketrec.core.ConfigException;
import pocketrec.core.PocketRecException;
import pocketrec.core.Seal;
import pocketrec.core.Storage;

import java.io.File;
import java.io.IOException;
import java.security.GeneralSecurityException;
import java.security.Key;
import java.security.KeyStore;
import java.security.SecureRandom;
import java.util.Arrays;

import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.crypto.spec.GCMParameterSpec;

/**
 * A key for sealed states and stores that nobody reads off the phone's storage: 32 random bytes in
 * a file, wrapped by a key of Android's Keystore, which does not leave the phone's hardware. Leave
 * the file out of backups: on another phone it cannot be opened.
 */
public final class KeystoreKey {
    private static final String KEYSTORE = "AndroidKeyStore";
    private static final String ALIAS = "pocketrec";
    private static final int NONCE = 12; // bytes
    private static final int TAG_BITS = 128;

    private KeystoreKey() {}

    /**
     * The key of a file, which is made where it is missing.
     *
     * @param wrapped the file, in the application's own storage
     * @return 32 bytes, for {@code Recommender} and {@code EventStore}
     * @throws ConfigException the file is of another phone, or damaged, or the Keystore does not
     *     answer: what it has sealed cannot be read any more
     */
    public static byte[] of(File wrapped) throws PocketRecException {
        try {
            return wrapped.exists() ? opened(wrapped) : made(wrapped);
        } catch (GeneralSecurityException | IOException error) {
            throw new ConfigException(
                    "the key "
                            + wrapped
                            + " cannot be opened with this phone's Keystore ("
                            + Storage.reason(error)
                            + "): delete it, and wipe what it has sealed",
                    error);
        }
    }

    private static byte[] made(File wrapped)
            throws GeneralSecurityException, IOException, PocketRecException {
        byte[] key = new byte[Seal.KEY_BYTES];
        new SecureRandom().nextBytes(key);
        Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
        cipher.init(Cipher.ENCRYPT_MODE, wrapper()); // with a nonce of the Keystore's
        byte[] sealed = cipher.doFinal(key);
        byte[] content = Arrays.copyOf(cipher.getIV(), NONCE + sealed.length);
        System.arraycopy(sealed, 0, content, NONCE, sealed.length);
        Storage.writeAtomic(wrapped, content, null);
        return key;
    }

    private static byte[] opened(File wrapped) throws GeneralSecurityException, IOException {
        byte[] content = Storage.read(wrapped);
        if (content.length != NONCE + Seal.KEY_BYTES + TAG_BITS / 8) {
            throw new IOException("it is cut short");
        }
        Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
        GCMParameterSpec nonce = new GCMParameterSpec(TAG_BITS, content, 0, NONCE);
        cipher.init(Cipher.DECRYPT_MODE, wrapper(), nonce);
        return cipher.doFinal(content, NONCE, content.length - NONCE);
    }

    /** The Keystore's key, made at first use. */
    private static Key wrapper() throws GeneralSecurityException, IOException {
        KeyStore keys = KeyStore.getInstance(KEYSTORE);
        keys.load(null);
        if (keys.containsAlias(ALIAS)) {
            return keys.getKey(ALIAS, null);
        }
        KeyGenerator maker = KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, KEYSTORE);
        int purposes = KeyProperties.PURPOSE_ENCRYPT | KeyProperties.PURPOSE_DECRYPT;
        maker.init(
                new KeyGenParameterSpec.Builder(ALIAS, purposes)
                        .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
                        .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
                        .setKeySize(8 * Seal.KEY_BYTES)
                        .build());
        return maker.generateKey();
    }
}
