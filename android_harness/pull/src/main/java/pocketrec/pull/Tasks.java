// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import pocketrec.core.Bundle;
import pocketrec.core.BundleException;
import pocketrec.core.ConfigException;
import pocketrec.core.Contract;
import pocketrec.core.FetchException;
import pocketrec.core.FileLock;
import pocketrec.core.Json;
import pocketrec.core.JsonException;
import pocketrec.core.Patch;
import pocketrec.core.PocketRecException;
import pocketrec.core.Storage;
import pocketrec.core.StorageException;
import pocketrec.core.Table;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;

/**
 * Fetching the patches of tasks for a version of a bundle: each is checked, its signature too where
 * a key is pinned, and put in place whole. The rules are those of device/delivery/tasks.py.
 */
public final class Tasks {
    private static final int INDEX_LIMIT = 1 << 20;
    private static final long PATCH_LIMIT = 1L << 28;

    private final File folder;
    private final String base;
    private final Fetcher fetcher;
    private final List<String> keys;
    private final boolean older;

    Tasks(File folder, String base, Fetcher fetcher, List<String> keys, boolean older) {
        this.folder = folder;
        this.base = base;
        this.fetcher = fetcher;
        this.keys = keys;
        this.older = older;
    }

    /**
     * Brings the latest patches of some tasks, and of those asked for before, for the version in
     * use; from then on {@link Pull} brings them with every new version. Whatever is thrown, each
     * patch that was here is as it was.
     *
     * @param folder the folder of versions
     * @param tasks names of tasks
     * @param options patience, source, and whether a smaller number will do
     * @return names of the tasks whose patch is another now
     * @throws FetchException the server cannot be reached, or does not offer a patch for the model
     *     in use, or an older one
     * @throws BundleException a patch is damaged, of another model or task, or not signed with a
     *     pinned key; or nothing was pulled
     */
    public static List<String> pull(File folder, Collection<String> tasks, PullOptions options)
            throws PocketRecException {
        try (FileLock lock = Versions.locked(folder)) {
            Current current = Current.read(folder);
            if (current == null || current.current.isEmpty()) {
                throw new BundleException(
                        "no bundle was pulled into " + folder + ": pull one first");
            }
            LinkedHashSet<String> names = new LinkedHashSet<>(current.tasks);
            names.addAll(tasks);
            if (names.isEmpty()) {
                throw new ConfigException("no task was named: give names of tasks");
            }
            Address address = Address.of(current.url);
            String base = address.plain().replaceAll("/+$", "") + "/";
            Fetcher fetcher =
                    new Fetcher(options.patience(), options.source(), address.authorization());
            List<String> keys = Pin.read(folder, current).keys;
            List<String> missing = new ArrayList<>();
            List<String> changed =
                    new Tasks(folder, base, fetcher, keys, options.older())
                            .fetch(
                                    Bundle.open(Versions.folder(folder, current.current)),
                                    names,
                                    missing);
            if (!missing.isEmpty()) {
                throw new FetchException(missing.get(0));
            }
            current.tasks = new ArrayList<>(names);
            current.write(folder);
            return changed;
        }
    }

    /** Has the offered patches in a bundle's folder; what is missing is named. */
    List<String> fetch(Bundle bundle, Collection<String> names, List<String> missing)
            throws PocketRecException {
        Table offered = index(bundle);
        List<String> changed = new ArrayList<>();
        for (String name : names) {
            File target = Patch.file(bundle.folder, name);
            if (offered == null || !offered.has(name)) {
                missing.add(
                        base
                                + " offers no patch of task '"
                                + name
                                + "' for the model in use (it offers "
                                + (offered == null ? "none" : String.join(", ", offered.names()))
                                + "): name another, or ask the publisher");
                continue;
            }
            try {
                Table entry = offered.table(name);
                String sha256 = entry.text("sha256");
                long size = entry.wholeLong("bytes", 1);
                if (!sha256.matches("[0-9a-f]{64}") || size > PATCH_LIMIT) {
                    throw new JsonException("a hash or a size is out of range");
                }
                if (target.length() == size && Storage.sha256(target).equals(sha256)) {
                    check(Storage.read(target), bundle, name, "the patch " + target);
                } else {
                    place(bundle, name, target, sha256, size);
                    changed.add(name);
                }
            } catch (JsonException error) {
                throw new FetchException(
                        base
                                + " has no index of patches ("
                                + error.getMessage()
                                + "): ask the publisher");
            } catch (IOException error) {
                throw Storage.failed(target, error);
            }
        }
        return changed;
    }

    private Table index(Bundle bundle) throws PocketRecException {
        String place = base + Contract.PATCHES_FOLDER + "/" + bundle.manifest.modelId + ".json";
        try {
            Table table =
                    Table.of(Json.parse(fetcher.small(place, INDEX_LIMIT, "").content), "it");
            if (table.wholeLong("format", 0) != 1) {
                throw new JsonException("it is of another format: update pocketrec");
            }
            return table.table("tasks");
        } catch (AbsentException error) {
            return null;
        } catch (JsonException error) {
            throw new FetchException(
                    place
                            + " is no index of patches ("
                            + error.getMessage()
                            + "): ask the publisher");
        }
    }

    private void place(Bundle bundle, String name, File target, String sha256, long size)
            throws PocketRecException, IOException {
        String url = base + "files/" + sha256;
        File part = new File(new File(folder, Versions.PARTIAL), sha256);
        Files.createDirectories(part.getParentFile().toPath());
        fetcher.file(url, part, size, sha256);
        try {
            Patch patch = check(Storage.read(part), bundle, name, "the patch " + url);
            long here = serial(bundle, name, target);
            if (patch.serial < here && !older) {
                throw new FetchException(
                        base
                                + " offers number "
                                + patch.serial
                                + " of the patch of task '"
                                + name
                                + "', and "
                                + here
                                + " was here before: ask the publisher, or allow older ones");
            }
        } catch (BundleException | FetchException error) {
            Files.deleteIfExists(part.toPath());
            throw error;
        }
        Files.createDirectories(target.getParentFile().toPath());
        Files.move(
                part.toPath(),
                target.toPath(),
                StandardCopyOption.ATOMIC_MOVE,
                StandardCopyOption.REPLACE_EXISTING);
        Storage.syncFolder(target.getParentFile());
    }

    private Patch check(byte[] content, Bundle bundle, String name, String place)
            throws BundleException {
        Patch patch = Patch.check(content, bundle.manifest, name, place);
        if (keys.isEmpty()) {
            return patch;
        }
        List<String> signatures = Patch.signatures(content);
        if (signatures.isEmpty()) {
            throw new BundleException(
                    place + " is not signed, and a key is pinned: ask the publisher to sign it");
        }
        byte[] said = Patch.statement(content);
        for (String key : keys) {
            for (String signature : signatures) {
                if (Keys.hasSigned(key, signature, said)) {
                    return patch;
                }
            }
        }
        throw new BundleException(
                place
                        + " is not signed with a pinned key, or was altered: do not use it, and ask"
                        + " the publisher");
    }

    private static long serial(Bundle bundle, String name, File target) {
        try {
            return Patch.check(Storage.read(target), bundle.manifest, name, "it").serial;
        } catch (IOException | BundleException error) {
            return 0;
        }
    }
}
