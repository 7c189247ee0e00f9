// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import pocketrec.core.Contract;
import pocketrec.core.Shards;
import pocketrec.core.Bundle;
import pocketrec.core.FetchException;
import pocketrec.core.Manifest;
import pocketrec.core.PocketRecException;
import pocketrec.core.Storage;
import pocketrec.core.StorageException;

import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * Making a version complete in its place: what is here is used, and the rest fetched; then all of
 * it is opened. A version that is there and sound stays usable at every moment. The rules of
 * device/delivery/assemble.py.
 */
final class Assemble {
    private static final long SPARE = 1 << 20; // bytes that a disk should have left

    private final File folder;
    private final String base;
    private final Fetcher fetcher;
    private final Limits limits;
    private final List<String> sources; // versions whose files are copied where they are equal

    Assemble(File folder, String base, Fetcher fetcher, Limits limits, List<String> sources) {
        this.folder = folder;
        this.base = base;
        this.fetcher = fetcher;
        this.limits = limits;
        this.sources = sources;
    }

    /** Called when the manifest was found right. */
    interface Before {
        void run() throws StorageException;
    }

    /** Candidate shards of some users. */
    static Set<Long> shardsOf(Manifest manifest, Collection<String> users) {
        Set<Long> shards = new TreeSet<>();
        for (String user : users) {
            if (manifest.shards > 0) {
                shards.add(Shards.of(user, manifest.shards));
            }
        }
        return shards;
    }

    /** Has the version of a release whole in its place, with the candidate shards of some users. */
    void complete(Release release, Collection<String> users, Before before)
            throws PocketRecException {
        File target = Versions.folder(folder, Versions.name(release.manifest));
        if (release.size > Limits.MANIFEST) {
            throw new FetchException(
                    base
                            + " has a manifest of "
                            + release.size
                            + " bytes, over "
                            + Limits.MANIFEST
                            + ": ask the publisher");
        }
        byte[] content = manifest(release, new File(target, Contract.MANIFEST_FILE));
        Manifest manifest = Manifest.parse(content, base);
        Set<Long> shards = shardsOf(manifest, users);
        Map<String, Manifest.FileEntry> entries = entries(manifest, shards);
        File staging = target;
        if (!target.exists()) {
            staging =
                    new File(new File(folder, Versions.VERSIONS), "." + target.getName() + ".new");
        }
        checkSpace(staging, entries, made(manifest));
        before.run();
        try {
            Files.createDirectories(new File(folder, Versions.VERSIONS).toPath());
            for (Map.Entry<String, Manifest.FileEntry> entry : entries.entrySet()) {
                place(new File(staging, entry.getKey()), entry.getKey(), entry.getValue());
            }
        } catch (IOException error) {
            throw Storage.failed(staging, error);
        }
        finish(staging, target, content, shards);
    }

    private byte[] manifest(Release release, File known) throws PocketRecException {
        try {
            File partial = new File(folder, Versions.PARTIAL);
            Files.createDirectories(partial.toPath());
            if (!isThere(known, release.size, release.manifest)) {
                known = new File(partial, release.manifest);
                fetcher.file(nameOf(release.manifest), known, release.size, release.manifest);
            }
            return Storage.read(known);
        } catch (IOException error) {
            throw Storage.failed(known, error);
        }
    }

    private void finish(File staging, File target, byte[] manifest, Set<Long> shards)
            throws PocketRecException {
        boolean isNew = !staging.equals(target);
        Set<Long> held = isNew ? new TreeSet<>() : Shards.held(target);
        if (held != null) {
            held.addAll(shards);
            byte[] list = held.toString().getBytes(java.nio.charset.StandardCharsets.US_ASCII);
            Storage.writeAtomic(new File(staging, Shards.HELD), list, null);
        }
        Storage.writeAtomic(new File(staging, Contract.MANIFEST_FILE), manifest, null);
        Bundle.open(staging).checkShards();
        if (isNew) {
            try {
                Files.move(staging.toPath(), target.toPath(), StandardCopyOption.ATOMIC_MOVE);
            } catch (IOException error) {
                throw Storage.failed(target, error);
            }
            Storage.syncFolder(target.getParentFile());
        }
    }

    /** The files of the manifest that are wanted: all but the candidate shards of others. */
    private Map<String, Manifest.FileEntry> entries(Manifest manifest, Set<Long> shards)
            throws FetchException {
        if (manifest.files.size() > limits.files) {
            throw new FetchException(
                    base
                            + " lists "
                            + manifest.files.size()
                            + " files, more than "
                            + limits.files
                            + ": ask the publisher");
        }
        Map<String, Manifest.FileEntry> entries = new LinkedHashMap<>();
        Set<String> wanted = new TreeSet<>();
        for (long shard : shards) {
            wanted.add(Shards.name(shard));
        }
        long total = made(manifest);
        for (Map.Entry<String, Manifest.FileEntry> entry : manifest.files.entrySet()) {
            String name = entry.getKey();
            if (!name.startsWith(Contract.CANDIDATES_FOLDER + "/") || wanted.remove(name)) {
                entries.put(name, entry.getValue());
                total += entry.getValue().bytes; // each is below 2^53, and there are 10,000
            }
        }
        for (String shard : wanted) {
            throw new FetchException(
                    base
                            + " lists no "
                            + shard
                            + ", which its manifest promises: ask the publisher");
        }
        if (manifest.packedBytes > limits.model) {
            throw new FetchException(
                    base
                            + " has a packed model of "
                            + manifest.packedBytes
                            + " bytes, over "
                            + limits.model
                            + ": ask the publisher, or raise Limits.withModel");
        }
        if (total > limits.total || total < 0) {
            throw new FetchException(
                    base
                            + " asks for "
                            + total
                            + " bytes, over "
                            + limits.total
                            + ": ask the publisher, or raise Limits.withTotal");
        }
        return entries;
    }

    /** Bytes of what the device makes of a packed bundle, and of a lean one for a user. */
    private static long made(Manifest manifest) {
        return manifest.packedBytes * (manifest.leanHead >= 0 ? 2 : 1);
    }

    private void checkSpace(File staging, Map<String, Manifest.FileEntry> entries, long made)
            throws StorageException {
        long needed = made;
        for (Map.Entry<String, Manifest.FileEntry> entry : entries.entrySet()) {
            needed += entry.getValue().bytes;
            needed -= new File(staging, entry.getKey()).length();
            needed -= partial(entry.getValue()).length();
        }
        long free = folder.getUsableSpace();
        if (needed + SPARE > free) {
            throw new StorageException(
                    "cannot write "
                            + folder
                            + ": "
                            + needed
                            + " bytes are needed and "
                            + free
                            + " are free: free some space, or name a folder on another disk");
        }
    }

    /** Has the file in its place: it is there, or in another version, or it is fetched. */
    private void place(File target, String name, Manifest.FileEntry entry)
            throws PocketRecException, IOException {
        if (isThere(target, entry.bytes, entry.sha256)) {
            return;
        }
        Files.createDirectories(target.getParentFile().toPath());
        File part = partial(entry);
        boolean copied = false;
        for (String other : sources) {
            copied = copied || copy(new File(Versions.folder(folder, other), name), entry, part);
        }
        if (!copied) {
            fetcher.file(nameOf(entry.sha256), part, entry.bytes, entry.sha256);
        }
        Files.move(
                part.toPath(),
                target.toPath(),
                StandardCopyOption.REPLACE_EXISTING,
                StandardCopyOption.ATOMIC_MOVE);
    }

    /** Copies a file of another version, if it is the wanted one. A link would share its damage. */
    private static boolean copy(File source, Manifest.FileEntry entry, File part) {
        try {
            if (!isThere(source, entry.bytes, entry.sha256)) {
                return false;
            }
            Files.copy(source.toPath(), part.toPath(), StandardCopyOption.REPLACE_EXISTING);
            try (RandomAccessFile file = new RandomAccessFile(part, "rw")) {
                file.getFD().sync();
            }
            return Storage.sha256(part).equals(entry.sha256);
        } catch (IOException error) {
            return false;
        }
    }

    private File partial(Manifest.FileEntry entry) {
        return new File(new File(folder, Versions.PARTIAL), entry.sha256);
    }

    private String nameOf(String sha256) {
        return base + "files/" + sha256;
    }

    private static boolean isThere(File file, long size, String sha256) throws IOException {
        return file.isFile() && file.length() == size && Storage.sha256(file).equals(sha256);
    }
}
