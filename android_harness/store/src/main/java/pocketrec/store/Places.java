// SPDX-License-Identifier: Apache-2.0
package pocketrec.store;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.attribute.BasicFileAttributes;

/** Whether the files of a folder can be written. */
final class Places {
    static final String NO_SPACE = "No space left on device";

    private static final long LEAST = 1 << 16; // free bytes below which SQLite cannot index its log

    private Places() {}

    /** Why a file must not be written; "" = it may be, as far as one sees without writing. */
    static String forbidden(File path) {
        File folder = path.getAbsoluteFile().getParentFile();
        if (!folder.exists()) {
            return "";
        }
        try {
            if (Files.getFileStore(folder.toPath()).isReadOnly()) {
                return "Read-only file system";
            }
        } catch (IOException | SecurityException error) {
            // Android tells apps little about file systems
        }
        boolean writable =
                Files.isWritable(folder.toPath())
                        && (!path.exists() || Files.isWritable(path.toPath()));
        return writable ? "" : "Permission denied";
    }

    /** As the other, or that the disk is full; to be asked after an error. */
    static String unwritable(File path) {
        File folder = path.getAbsoluteFile().getParentFile();
        boolean full = folder.getTotalSpace() > 0 && folder.getUsableSpace() < LEAST;
        return full ? NO_SPACE : forbidden(path);
    }

    /** What tells one file from another of the same path; null where there is none. */
    static Object identity(File path) {
        try {
            return Files.readAttributes(path.toPath(), BasicFileAttributes.class).fileKey();
        } catch (IOException error) {
            return null;
        }
    }
}
