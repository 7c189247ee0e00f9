// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

import java.math.BigInteger;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.NoSuchAlgorithmException;
import java.security.Signature;
import java.util.Arrays;
import java.util.Random;

/** The vectors of RFC 8032, section 7.1, and the signatures of a Java that knows the scheme. */
class Ed25519Test {
    private static final String[][] VECTORS = {
        {
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
                    + "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        },
        {
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                    + "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        },
        {
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
                    + "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        },
        {
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                    + "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
                    + "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"
        }
    };

    private static byte[] bytes(String digits) {
        byte[] bytes = new byte[digits.length() / 2];
        for (int place = 0; place < bytes.length; place++) {
            bytes[place] = (byte) Integer.parseInt(digits.substring(2 * place, 2 * place + 2), 16);
        }
        return bytes;
    }

    @Test
    void theVectorsOfTheStandard() {
        for (String[] vector : VECTORS) {
            assertTrue(Keys.hasSigned(vector[0], vector[2], bytes(vector[1])));
        }
    }

    @Test
    void whateverBitIsAlteredIsRefused() {
        String[] vector = VECTORS[2];
        byte[][] parts = {bytes(vector[0]), bytes(vector[2]), bytes(vector[1])};
        Random random = new Random(3);
        for (int draw = 0; draw < 60; draw++) {
            byte[][] altered = {parts[0].clone(), parts[1].clone(), parts[2].clone()};
            byte[] part = altered[draw % 3];
            part[random.nextInt(part.length)] ^= (byte) (1 << random.nextInt(8));
            assertFalse(Ed25519.verify(altered[0], altered[1], altered[2]));
        }
        assertFalse(Ed25519.verify(parts[0], Arrays.copyOf(parts[1], 63), parts[2]));
        assertFalse(Ed25519.verify(new byte[31], parts[1], parts[2]));
    }

    /** Section 5.1.7: the second half has to be below the order, or one signature had two forms. */
    @Test
    void aSecondFormOfASignatureIsRefused() {
        byte[] signature = bytes(VECTORS[1][2]);
        byte[] big = new byte[33];
        for (int place = 0; place < 32; place++) {
            big[32 - place] = signature[32 + place];
        }
        BigInteger order =
                BigInteger.valueOf(2)
                        .pow(252)
                        .add(new BigInteger("27742317777372353535851937790883648493"));
        byte[] sum = new BigInteger(big).add(order).toByteArray();
        for (int place = 0; place < 32; place++) {
            signature[32 + place] = sum[sum.length - 1 - place];
        }
        assertFalse(Ed25519.verify(bytes(VECTORS[1][0]), signature, bytes(VECTORS[1][1])));
    }

    @Test
    void pointsThatAreNoneAreRefused() {
        byte[] content = bytes(VECTORS[1][1]);
        byte[] signature = bytes(VECTORS[1][2]);
        byte[] all = new byte[32];
        Arrays.fill(all, (byte) 0xFF); // y beyond the field
        assertFalse(Ed25519.verify(all, signature, content));
        byte[] two = new byte[32];
        two[0] = 2; // no x for this y
        assertFalse(Ed25519.verify(two, signature, content));
        byte[] minusZero = new byte[32];
        minusZero[0] = 1;
        minusZero[31] = (byte) 0x80; // x = 0 with a sign
        assertFalse(Ed25519.verify(minusZero, signature, content));
    }

    @Test
    void signaturesOfThisJava() throws Exception {
        KeyPairGenerator generator;
        try {
            generator = KeyPairGenerator.getInstance("Ed25519");
        } catch (NoSuchAlgorithmException error) {
            return; // Java before 15: the vectors have to do
        }
        for (int draw = 0; draw < 10; draw++) {
            KeyPair pair = generator.generateKeyPair();
            byte[] encoded = pair.getPublic().getEncoded();
            byte[] key = Arrays.copyOfRange(encoded, encoded.length - 32, encoded.length);
            byte[] content = new byte[draw * 50];
            Signature signer = Signature.getInstance("Ed25519");
            signer.initSign(pair.getPrivate());
            signer.update(content);
            byte[] signature = signer.sign();
            assertEquals(64, signature.length);
            assertTrue(Ed25519.verify(key, signature, content));
            assertFalse(Ed25519.verify(key, signature, new byte[draw * 50 + 1]));
        }
    }
}
