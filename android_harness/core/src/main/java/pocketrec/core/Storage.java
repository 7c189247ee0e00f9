// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;

/**
 * Writing files so that a crash or full storage loses nothing, and hashing them.
 *
 * <p>A file is written beside its final place, flushed, and then renamed: a reader sees the old
 * content or the new content, never a part. This class knows nothing about what the files hold. An
 * application has no need of it; PocketRec's other modules do.
 */
public final class Storage {
    private static final int CHUNK = 1 << 16;
    private static final char[] HEX = "0123456789abcdef".toCharArray();

    private static final SecureRandom RANDOM = new SecureRandom();

    private Storage() {}

    /**
     * Writes {@code content} to {@code path} as one step, readable by its owner only.
     *
     * @param path the file; its folder is made where it is missing
     * @param previous where the content that {@code path} had until now is kept (same folder); null
     *     keeps nothing
     * @throws StorageException full storage, or no permission; {@code path} is as it was
     */
    public static void writeAtomic(File path, byte[] content, File previous)
            throws StorageException {
        File folder = path.getAbsoluteFile().getParentFile();
        File temporary = temporary(path);
        try {
            Files.createDirectories(folder.toPath());
            Files.createFile(temporary.toPath());
            try (FileOutputStream out = new FileOutputStream(temporary)) {
                ownerOnly(temporary);
                out.write(content);
                out.flush();
                out.getFD().sync();
            }
            if (previous != null && path.exists()) {
                keep(path, previous);
            }
            Files.move(
                    temporary.toPath(),
                    path.toPath(),
                    StandardCopyOption.REPLACE_EXISTING,
                    StandardCopyOption.ATOMIC_MOVE);
            syncFolder(folder);
        } catch (IOException | SecurityException error) {
            throw failed(path, error);
        } finally {
            temporary.delete();
        }
    }

    /** The one-line exception for what the system reported while {@code path} was written. */
    public static StorageException failed(File path, Exception error) {
        return new StorageException(
                "cannot write "
                        + path
                        + ": "
                        + reason(error)
                        + ": free some space or name a folder that can be written",
                error);
    }

    /** What a system error says, without the path that Java puts in front. */
    public static String reason(Exception error) {
        if (error instanceof NoSuchFileException) {
            return "no such file";
        }
        if (error instanceof java.nio.file.FileSystemException
                && ((java.nio.file.FileSystemException) error).getReason() != null) {
            return ((java.nio.file.FileSystemException) error).getReason();
        }
        String message =
                error.getMessage() == null ? error.getClass().getSimpleName() : error.getMessage();
        int open = message.lastIndexOf('(');
        boolean bracketed = message.endsWith(")") && open >= 0;
        return (bracketed ? message.substring(open + 1, message.length() - 1) : message)
                .replaceAll("\\s+", " ");
    }

    /** The whole content of a file. */
    public static byte[] read(File path) throws IOException {
        return Files.readAllBytes(path.toPath());
    }

    /** At most {@code most} bytes from the beginning of a file. */
    public static byte[] head(File path, int most) throws IOException {
        ByteArrayOutputStream content = new ByteArrayOutputStream();
        try (InputStream in = new FileInputStream(path)) {
            int one;
            while (content.size() < most && (one = in.read()) >= 0) {
                content.write(one);
            }
        }
        return content.toByteArray();
    }

    /** SHA-256 of a file, 64 lower-case hexadecimal digits. */
    public static String sha256(File path) throws IOException {
        MessageDigest digest = sha256();
        byte[] chunk = new byte[CHUNK];
        try (InputStream in = new FileInputStream(path)) {
            int length;
            while ((length = in.read(chunk)) >= 0) {
                digest.update(chunk, 0, length);
            }
        }
        return hex(digest.digest());
    }

    /** A fresh SHA-256, which every Java and Android has. */
    public static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    /** Lower-case hexadecimal digits. */
    public static String hex(byte[] bytes) {
        StringBuilder out = new StringBuilder(2 * bytes.length);
        for (byte one : bytes) {
            out.append(HEX[one >> 4 & 15]).append(HEX[one & 15]);
        }
        return out.toString();
    }

    /** Flushes a folder's entries, where the system can. */
    public static void syncFolder(File folder) {
        try (FileChannel channel = FileChannel.open(folder.toPath(), StandardOpenOption.READ)) {
            channel.force(true);
        } catch (IOException | UnsupportedOperationException error) {
            // Windows and some phones cannot; the rename itself was atomic all the same.
        }
    }

    /** A name beside {@code path} that nobody else uses. */
    public static File temporary(File path) {
        byte[] random = new byte[8];
        RANDOM.nextBytes(random);
        File folder = path.getAbsoluteFile().getParentFile();
        return new File(folder, "." + path.getName() + "." + hex(random) + ".tmp");
    }

    /**
     * Deletes what writers of a file that were killed have left beside it, if older than an age.
     */
    public static void sweep(File path, long ageMs) {
        String ours =
                "\\."
                        + java.util.regex.Pattern.quote(path.getName())
                        + "(\\.previous)?\\.[0-9a-f-]+\\.tmp(-wal|-shm)?";
        File[] left =
                path.getAbsoluteFile()
                        .getParentFile()
                        .listFiles((folder, name) -> name.matches(ours));
        long oldest = System.currentTimeMillis() - ageMs;
        for (File file : left == null ? new File[0] : left) {
            if (file.lastModified() <= oldest) {
                file.delete();
            }
        }
    }

    /** Lets nobody but its owner read or write a file. */
    public static void ownerOnly(File file) {
        file.setReadable(false, false);
        file.setWritable(false, false);
        file.setReadable(true, true);
        file.setWritable(true, true);
    }

    /**
     * Gives the content of {@code path} the second name {@code previous}; {@code path} itself stays
     * in place.
     */
    private static void keep(File path, File previous) throws IOException {
        File temporary = temporary(previous);
        try {
            try {
                Files.createLink(temporary.toPath(), path.toPath());
            } catch (IOException
                    | UnsupportedOperationException
                    | SecurityException error) { // Android forbids links
                Files.copy(path.toPath(), temporary.toPath());
                ownerOnly(temporary);
                try (FileChannel channel =
                        FileChannel.open(temporary.toPath(), StandardOpenOption.WRITE)) {
                    channel.force(true);
                }
            }
            Files.move(
                    temporary.toPath(),
                    previous.toPath(),
                    StandardCopyOption.REPLACE_EXISTING,
                    StandardCopyOption.ATOMIC_MOVE);
        } finally {
            temporary.delete();
        }
    }

    /** Deletes a file or a folder with all that is in it. */
    public static void delete(File file) {
        File[] inside = file.listFiles();
        for (File one : inside == null ? new File[0] : inside) {
            delete(one);
        }
        file.delete();
    }
}
