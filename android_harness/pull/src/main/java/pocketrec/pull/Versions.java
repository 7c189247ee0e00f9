// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import pocketrec.core.Contract;
import pocketrec.core.Bundle;
import pocketrec.core.BundleException;
import pocketrec.core.FetchException;
import pocketrec.core.FileLock;
import pocketrec.core.PocketRecException;
import pocketrec.core.Storage;

import java.io.File;

/**
 * The folder that bundles are pulled into: versions side by side, and one small file that says
 * which is in use. The folder of device/delivery/versions.py:
 *
 * <pre>
 * current.json         the version in use, the one before it, and where they come from
 * current.copy.json    the same, written first
 * pin.json             which keys are trusted, and the largest release taken
 * versions/NAME/       a bundle; NAME begins the SHA-256 of its manifest
 * partial/             downloads that are not complete
 * lock                 held while a pull is at work
 * </pre>
 */
public final class Versions {
    static final String VERSIONS = "versions";
    static final String PARTIAL = "partial";

    private static final int NAME = 16; // digits of the manifest's hash in a version's name

    private Versions() {}

    /**
     * The bundle's folder that a path means: the version in use of a folder of versions, or the
     * path itself. To be given to {@link Bundle#open}.
     *
     * @throws BundleException current.json is damaged
     */
    public static File resolve(File path) throws BundleException {
        if (new File(path, Contract.MANIFEST_FILE).exists()) {
            return path;
        }
        Current current = Current.read(path);
        return current == null || current.current.isEmpty() ? path : folder(path, current.current);
    }

    /**
     * Takes a user off the list of those whose candidates are pulled.
     *
     * @return whether there was such a user
     * @throws BundleException current.json is damaged
     * @throws FetchException a pull is at work, which would put the user back: call again
     */
    public static boolean forgetUser(File folder, String user) throws PocketRecException {
        if (Current.read(folder) == null) {
            return false;
        }
        try (FileLock lock = locked(folder)) {
            Current current = Current.read(folder);
            if (current == null || !current.users.remove(user)) {
                return false;
            }
            current.write(folder);
            return true;
        }
    }

    static String name(String manifestSha256) {
        return manifestSha256.substring(0, NAME);
    }

    static File folder(File folder, String name) {
        return new File(new File(folder, VERSIONS), name);
    }

    /** Removes what is neither the version in use nor the one before it, and partial downloads. */
    static void collect(File folder, Current current) {
        File[] found = new File(folder, VERSIONS).listFiles();
        for (File version : found == null ? new File[0] : found) {
            String name = version.getName();
            boolean kept = name.equals(current.current) || name.equals(current.previous);
            if (!kept && name.matches("[0-9A-Za-z]{16}")) {
                Storage.delete(version);
            }
        }
        Storage.delete(new File(folder, PARTIAL));
    }

    /**
     * Holds the folder's lock.
     *
     * @throws FetchException another pull holds it
     */
    static FileLock locked(File folder) throws PocketRecException {
        FileLock lock = FileLock.tryOf(new File(folder, "lock"));
        if (lock == null) {
            throw new FetchException("another pull is at work in " + folder + ": wait for it");
        }
        return lock;
    }
}
