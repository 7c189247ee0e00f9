// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The files of a personal state: looked at, read, restored, deleted.
 *
 * <p>Writing keeps the previous generation beside it under {@code NAME.previous}. A damaged or
 * foreign file is never used, nor silently replaced. With a key the file is sealed: nobody reads
 * it, or changes it without being noticed, without that key.
 */
public final class States {
    static final String KIND = "pocketrec personal state";
    static final String NOT_OURS = "name another file, or remove this one";

    private States() {}

    /** Where the previous generation of a state file is kept. */
    public static File previousOf(File path) {
        return new File(path.getAbsoluteFile().getParentFile(), path.getName() + ".previous");
    }

    /** Whether there is a state or a previous generation of one. */
    public static boolean exists(File path) {
        return path.exists() || previousOf(path).exists();
    }

    /**
     * Deletes what is kept beside a state of how well it has recommended, if there is any; gives
     * whether there was.
     *
     * @throws StorageException it cannot be deleted
     */
    static boolean dropQuality(File path) throws StorageException {
        File quality = qualityOf(path);
        Storage.sweep(quality, 0);
        try {
            return Files.deleteIfExists(quality.toPath());
        } catch (IOException error) {
            throw Storage.failed(quality, error);
        }
    }

    /** Where the quality of what was recommended is kept, beside a state file. */
    static File qualityOf(File path) {
        return new File(path.getAbsoluteFile().getParentFile(), path.getName() + ".quality");
    }

    /**
     * Deletes the previous generation of a state, if there is one.
     *
     * @throws StorageException it cannot be deleted
     */
    static void dropPrevious(File path) throws StorageException {
        try {
            Files.deleteIfExists(previousOf(path).toPath());
        } catch (IOException error) {
            throw Storage.failed(previousOf(path), error);
        }
    }

    /**
     * Reads a state file.
     *
     * @param path the file
     * @param bundle the bundle that it will be used with; null = of another model, whose history
     *     alone is of use
     * @throws StateException missing, damaged, no state, of another format, or of another model,
     *     tensor specs or vocabulary
     */
    public static PersonalState load(File path, Bundle bundle) throws StateException {
        return load(path, bundle, (Seal) null);
    }

    /**
     * As the other, of a state that is sealed.
     *
     * @param key 32 bytes
     * @throws StateException it is not sealed, or with another key
     * @throws ConfigException the key has another length
     */
    public static PersonalState load(File path, Bundle bundle, byte[] key)
            throws StateException, ConfigException {
        return load(path, bundle, Seal.of(key));
    }

    static PersonalState load(File path, Bundle bundle, Seal seal) throws StateException {
        StateBinding binding = bundle == null ? null : StateBinding.of(bundle.manifest);
        return StateFile.read(path, binding, seal);
    }

    /**
     * Puts the previous generation in the place of the current one, after checking it.
     *
     * @throws StateException there is none, or it is damaged or of another model; nothing was
     *     changed
     * @throws StorageException the file cannot be moved
     */
    public static PersonalState restore(File path, Bundle bundle) throws PocketRecException {
        return restore(path, bundle, null);
    }

    /** As the other, of a state that is sealed with a key; null = of one that is not. */
    public static PersonalState restore(File path, Bundle bundle, byte[] key)
            throws PocketRecException {
        File previous = previousOf(path);
        if (!previous.exists()) {
            throw new StateException(
                    "no previous generation " + previous + ": reset the state to start again");
        }
        PersonalState state = load(previous, bundle, Seal.of(key));
        try {
            Files.move(
                    previous.toPath(),
                    path.toPath(),
                    StandardCopyOption.REPLACE_EXISTING,
                    StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException error) {
            throw Storage.failed(path, error);
        }
        return state;
    }

    /**
     * Deletes a state and its previous generation; the device is then as before any event. A
     * damaged one is deleted too, as long as it begins like a state.
     *
     * @return the files deleted
     * @throws StateException a file is there that is not a personal state; nothing was deleted
     * @throws StorageException a file cannot be deleted
     */
    public static List<File> reset(File path) throws PocketRecException {
        List<File> files = Arrays.asList(path, previousOf(path));
        for (File file : files) {
            if (file.exists() && !StateMarks.beginsLikeAState(file)) {
                throw new StateException(
                        file + " is not a personal state and was not deleted: " + NOT_OURS);
            }
        }
        Storage.sweep(path, 0);
        List<File> deleted = new ArrayList<>();
        if (dropQuality(path)) {
            deleted.add(qualityOf(path));
        }
        for (File file : files) {
            try {
                if (Files.deleteIfExists(file.toPath())) {
                    deleted.add(file);
                }
            } catch (IOException error) {
                throw Storage.failed(file, error);
            }
        }
        return deleted;
    }
}
