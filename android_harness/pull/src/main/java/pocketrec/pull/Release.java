// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import pocketrec.core.Shards;
import pocketrec.core.FetchException;
import pocketrec.core.Json;
import pocketrec.core.JsonException;
import pocketrec.core.Text;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The content of latest.json: which manifest is the latest, its number, its signatures. The form of
 * device/delivery/release.py; what is signed are all fields but the signatures.
 */
final class Release {
    static final String LATEST = "latest.json";

    private static final int KEYS = 8; // that a release may name
    private static final long MOST = 1L << 53; // numbers are below it
    private static final byte[] DOMAIN = Text.utf8("pocketrec release\n");

    final long serial;
    final String manifest;
    final long size;
    final List<String> signatures;
    final long published;
    final long expires;
    final List<String> keys;
    final Release former; // where it is staged: what the others take
    private final long stagedShards;
    private final long stagedFirst;
    private final byte[] statement;

    private Release(Map<String, Object> table) throws JsonException {
        Map<String, Object> signed = new LinkedHashMap<>(table);
        signed.remove("signature");
        signed.remove("signatures");
        serial = number(table, "serial", 1);
        manifest = digits(table.get("manifest"), 64, "a hash");
        size = number(table, "bytes", 1);
        List<String> found = new ArrayList<>();
        Object signature = table.getOrDefault("signature", "");
        if (!"".equals(signature)) {
            found.add(digits(signature, 128, "a signature"));
        }
        found.addAll(list(table, "signatures", 128, "a signature"));
        signatures = Collections.unmodifiableList(found);
        keys = list(table, "keys", 64, "a key");
        published = table.containsKey("published") ? number(table, "published", 0) : 0;
        expires = table.containsKey("expires") ? number(table, "expires", 0) : 0;
        // Fields with their default are not signed, whether or not they are written.
        for (String name : Arrays.asList("published", "expires", "keys", "staged")) {
            Object value = signed.get(name);
            if (value == null || value.equals(0L) || value.equals(Collections.emptyList())) {
                signed.remove(name);
            }
        }
        Object staged = table.get("staged");
        if (staged == null) {
            former = null;
            stagedShards = stagedFirst = 0;
        } else {
            Map<String, Object> stage = map(staged);
            Map<String, Object> before = map(stage.get("former"));
            former = new Release(before, this);
            stagedShards = number(stage, "shards", 1);
            stagedFirst = number(stage, "first", 1);
            if (stagedFirst >= stagedShards || former.serial >= serial) {
                throw new JsonException("a number is out of range");
            }
            Map<String, Object> told = new LinkedHashMap<>();
            told.put("shards", stagedShards);
            told.put("first", stagedFirst);
            Map<String, Object> toldFormer = new LinkedHashMap<>();
            toldFormer.put("serial", former.serial);
            toldFormer.put("manifest", former.manifest);
            toldFormer.put("bytes", former.size);
            told.put("former", toldFormer);
            signed.put("staged", told);
        }
        byte[] facts = Text.utf8(Json.canonical(signed));
        statement =
                ByteBuffer.allocate(DOMAIN.length + facts.length).put(DOMAIN).put(facts).array();
    }

    /** The release before a staged one. */
    private Release(Map<String, Object> former, Release staged) throws JsonException {
        serial = number(former, "serial", 1);
        manifest = digits(former.get("manifest"), 64, "a hash");
        size = number(former, "bytes", 1);
        signatures = staged.signatures;
        published = staged.published;
        expires = staged.expires;
        keys = staged.keys;
        this.former = null;
        stagedShards = stagedFirst = 0;
        statement = new byte[0];
    }

    /**
     * Reads and checks the content of latest.json.
     *
     * @param place its address, for messages
     * @throws FetchException it is not one, or of another format
     */
    static Release parse(byte[] content, String place) throws FetchException {
        try {
            Map<String, Object> table = map(Json.parse(content));
            if (!table.containsKey("format")) {
                throw new JsonException("'format'");
            }
            if (!Long.valueOf(1).equals(table.get("format"))) {
                // What a server sends is shown without signs that a terminal or a log cannot take.
                String version =
                        String.valueOf(table.get("format")).replaceAll("[^\\x21-\\x7e]+", " ");
                throw new FetchException(
                        place
                                + " is of format '"
                                + version.substring(0, Math.min(40, version.length()))
                                + "' and this version of pocketrec reads 1: update pocketrec");
            }
            return new Release(table);
        } catch (JsonException error) {
            throw new FetchException(
                    place
                            + " is no "
                            + LATEST
                            + " ("
                            + error.getMessage()
                            + "): name the address of a folder that `pocketrec publish` wrote");
        }
    }

    /** What is signed; the manifest holds the hash of everything else. */
    byte[] statement() {
        return statement.clone();
    }

    /** Whether a key has signed it. */
    boolean isSignedBy(String key) {
        for (String signature : signatures) {
            if (Keys.hasSigned(key, signature, statement)) {
                return true;
            }
        }
        return false;
    }

    /**
     * What a device with these users takes: the release, or, where it is not for them, the former.
     */
    Release forUsers(Collection<String> users) {
        if (former == null) {
            return this;
        }
        for (String user : users) {
            if (Shards.of(user, stagedShards) < stagedFirst) {
                return this;
            }
        }
        return former;
    }

    private static long number(Map<String, Object> table, String name, long least)
            throws JsonException {
        Object value = table.get(name);
        if (!table.containsKey(name)) {
            throw new JsonException("'" + name + "'");
        }
        if (!(value instanceof Long) || (Long) value < least || (Long) value >= MOST) {
            throw new JsonException("a number is out of range");
        }
        return (Long) value;
    }

    private static String digits(Object value, int count, String what) throws JsonException {
        if (!(value instanceof String) || !((String) value).matches("[0-9a-f]{" + count + "}")) {
            throw new JsonException(what + " is malformed");
        }
        return (String) value;
    }

    private static List<String> list(Map<String, Object> table, String name, int count, String what)
            throws JsonException {
        Object value = table.containsKey(name) ? table.get(name) : Collections.emptyList();
        if (!(value instanceof List) || ((List<?>) value).size() > KEYS) {
            throw new JsonException(what + " is malformed");
        }
        List<String> texts = new ArrayList<>();
        for (Object one : (List<?>) value) {
            texts.add(digits(one, count, what));
        }
        return Collections.unmodifiableList(texts);
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> map(Object value) throws JsonException {
        if (!(value instanceof Map)) {
            throw new JsonException("it is not a table");
        }
        return (Map<String, Object>) value;
    }
}
