// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.math.BigInteger;
import java.text.Normalizer;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/** What a manifest's values have to be, before anything of a bundle is used. */
final class ManifestChecks {
    private static final int DEEPEST = 20; // levels of layers
    private static final long EXACT = 1L << 53; // beyond it JSON readers round
    private static final List<String> TABLES =
            Arrays.asList(
                    "files",
                    "vocabulary",
                    "model",
                    "tensors",
                    "candidates",
                    "packed",
                    "lean",
                    "retrieval",
                    "versions",
                    "gate");

    private ManifestChecks() {}

    /** Refuses values of another kind than their field's, where they are there. */
    static void checkKinds(Map<String, Object> manifest) throws JsonException {
        for (String name : TABLES.subList(0, 4)) { // the others may be left out
            if (!manifest.containsKey(name)) {
                throw new JsonException(name + " is missing");
            }
        }
        for (String name : TABLES) {
            if (manifest.containsKey(name) && !(manifest.get(name) instanceof Map)) {
                throw new JsonException(name + " must be a table");
            }
        }
        for (String name : new String[] {"candidates", "packed"}) {
            Object table = manifest.getOrDefault(name, Collections.emptyMap());
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) table).entrySet()) {
                count(Table.of(table, name), (String) entry.getKey(), name + ".", -EXACT, EXACT);
            }
        }
        if (manifest.containsKey("mask_seen") && !(manifest.get("mask_seen") instanceof Boolean)) {
            throw new JsonException("mask_seen must be true or false");
        }
        if (manifest.containsKey("ranker") && !(manifest.get("ranker") instanceof String)) {
            throw new JsonException("ranker must be a text");
        }
        Map<?, ?> tensors = (Map<?, ?>) manifest.getOrDefault("tensors", Collections.emptyMap());
        if (tensors.containsKey("layers")) {
            checkLayers(tensors.get("layers"), 0);
        }
    }

    /** Refuses layers of another form than device/contract/layers.py reads. */
    private static void checkLayers(Object layers, int depth) throws JsonException {
        for (Object one : list(layers, "layers")) {
            if (!(one instanceof Map) || depth > DEEPEST) {
                throw new JsonException("a layer is not a table, or lies too deep");
            }
            Table layer = Table.of(one, "a layer");
            Map<String, Object> values = layer.map();
            layer.text("kind");
            layer.text("name");
            Object role = values.getOrDefault("role", "body");
            Object patch = values.getOrDefault("patch", "");
            if (!Arrays.asList("body", "head").contains(role)
                    || !Arrays.asList("", "adapter", "trained").contains(patch)
                    || !(values.getOrDefault("options", Collections.emptyMap()) instanceof Map)) {
                throw new JsonException("role, patch or options of a layer are not known");
            }
            count(layer, "inputs", "layers.", 0, EXACT);
            count(layer, "outputs", "layers.", 0, EXACT);
            for (Object tensor :
                    list(values.getOrDefault("tensors", Collections.emptyList()), "tensors")) {
                Table spec = Table.of(tensor, "a tensor");
                spec.text("name");
                for (Object size :
                        list(spec.map().getOrDefault("shape", Collections.emptyList()), "shape")) {
                    if (!(size instanceof Long) || (Long) size < 1 || (Long) size > EXACT) {
                        throw new JsonException("a shape is not made of whole numbers");
                    }
                }
            }
            checkLayers(values.getOrDefault("inner", Collections.emptyList()), depth + 1);
        }
    }

    private static List<?> list(Object value, String name) throws JsonException {
        if (!(value instanceof List)) {
            throw new JsonException(name + " is not a list");
        }
        return (List<?>) value;
    }

    /**
     * Refuses a file name that is absolute, points outside the bundle, or is hidden, as notes in it
     * are.
     */
    static void checkName(String name) throws JsonException {
        boolean good =
                !name.isEmpty()
                        && name.codePointCount(0, name.length()) <= 200
                        && name.indexOf('\\') < 0
                        && name.indexOf(':') < 0
                        && name.chars().allMatch(letter -> letter >= ' ');
        for (String part : name.split("/", -1)) {
            good &= !part.isEmpty() && !part.startsWith(".");
        }
        if (!good) {
            throw new JsonException(
                    "'" + name.replaceAll("\\p{Cntrl}", "?") + "' is not a name inside a bundle");
        }
    }

    /** Refuses names that are one file on disks that know no case, or one form of a letter. */
    static void checkDifferent(Set<String> names) throws JsonException {
        Set<String> seen = new HashSet<>();
        for (String name : names) {
            String form = Normalizer.normalize(name, Normalizer.Form.NFC);
            if (!seen.add(form.toUpperCase(Locale.ROOT).toLowerCase(Locale.ROOT))) {
                throw new JsonException("names of files differ in case alone");
            }
        }
    }

    /** Refuses half a surrogate pair, which can neither be written nor be shown. */
    static void checkTexts(Object value) throws JsonException {
        if (value instanceof String && !Text.isWhole((String) value)) {
            throw new JsonException("a text has half a letter");
        } else if (value instanceof Map) {
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                checkTexts(entry.getKey());
                checkTexts(entry.getValue());
            }
        } else if (value instanceof List) {
            for (Object one : (List<?>) value) {
                checkTexts(one);
            }
        }
    }

    /** A whole number between two bounds; {@code path} is where it stands, for messages. */
    static long count(Table table, String name, String path, long least, long most)
            throws JsonException {
        Object value = table.map().get(name);
        if (value instanceof BigInteger) {
            throw new JsonException(path + name + " is out of range");
        }
        if (!(value instanceof Long)) {
            throw new JsonException(path + name + " must be a whole number");
        }
        if ((Long) value < least) {
            throw new JsonException(path + name + " must be at least " + least);
        }
        if ((Long) value > most) {
            throw new JsonException(path + name + " is out of range");
        }
        return (Long) value;
    }
}
