// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/** Whether a bundle's files are those that its manifest lists. */
final class Verified {
    private static final String MARKER =
            ".verified.java"; // sizes and times of files whose hashes were found right

    private Verified() {}

    /**
     * Checks size and hash of every file, or that nothing was touched since they were found right.
     */
    static void check(File folder, Manifest manifest, String manifestSha256)
            throws BundleException {
        Map<String, Object> seen = new LinkedHashMap<>();
        seen.put(Contract.MANIFEST_FILE, manifestSha256);
        Map<String, Manifest.FileEntry> files = files(folder, manifest);
        for (Map.Entry<String, Manifest.FileEntry> entry : files.entrySet()) {
            File file = new File(folder, entry.getKey());
            if (!file.isFile()) {
                throw new BundleException(
                        folder + ": " + entry.getKey() + " is missing" + Bundle.AGAIN);
            }
            if (file.length() != entry.getValue().bytes) {
                throw new BundleException(
                        folder
                                + ": "
                                + entry.getKey()
                                + " is cut short or altered, it has "
                                + file.length()
                                + " bytes and not "
                                + entry.getValue().bytes
                                + Bundle.AGAIN);
            }
            seen.put(entry.getKey(), file.lastModified());
        }
        File marker = new File(folder, MARKER);
        try {
            if (seen.equals(Json.parse(Storage.read(marker)))) {
                return;
            }
        } catch (IOException | JsonException error) {
            // no marker, or a damaged one: hash
        }
        for (Map.Entry<String, Manifest.FileEntry> entry : files.entrySet()) {
            try {
                if (!Storage.sha256(new File(folder, entry.getKey()))
                        .equals(entry.getValue().sha256)) {
                    throw new BundleException(
                            folder
                                    + ": "
                                    + entry.getKey()
                                    + " is altered, its SHA-256 does not match"
                                    + Bundle.AGAIN);
                }
            } catch (IOException error) {
                throw Bundle.unreadable(folder, entry.getKey(), Storage.reason(error));
            }
        }
        try {
            Storage.writeAtomic(marker, Json.write(seen).getBytes(StandardCharsets.US_ASCII), null);
        } catch (StorageException error) {
            // read-only media: then every opening hashes
        }
    }

    /** The manifest's files but the candidate shards that were not pulled. */
    private static Map<String, Manifest.FileEntry> files(File folder, Manifest manifest)
            throws BundleException {
        Map<String, Manifest.FileEntry> files = new LinkedHashMap<>(manifest.files);
        Set<Long> held = Shards.held(folder);
        if (held != null) {
            Set<String> names = new HashSet<>();
            for (long shard : held) {
                names.add(Shards.name(shard));
            }
            files.keySet()
                    .removeIf(
                            name ->
                                    name.startsWith(Contract.CANDIDATES_FOLDER + "/")
                                            && !names.contains(name));
        }
        return files;
    }
}
