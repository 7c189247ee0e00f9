// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.Closeable;
import java.io.File;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A lock for a file that several threads and processes of an app write. It is held on a file of its
 * own beside the other one, {@code .NAME.lock}, which stays; the system gives it back when its
 * holder ends, however it ends. Java and Python do not see each other's locks (POSIX and BSD ones):
 * do not let both write one file at once.
 */
public final class FileLock implements Closeable {
    private static final Map<File, ReentrantLock> THREADS = new HashMap<>();
    private static final Map<File, FileChannel> CHANNELS = new HashMap<>();

    private final File lock;
    private final ReentrantLock threads;

    private FileLock(File lock, ReentrantLock threads) {
        this.lock = lock;
        this.threads = threads;
    }

    /**
     * Takes the lock of a file, which need not exist; waits while another holds it. A thread that
     * holds it may take it again.
     *
     * @throws StorageException the folder cannot be written, or its file system has no locks
     */
    public static FileLock of(File path) throws StorageException {
        FileLock held = of(path, lockOf(path), true);
        if (held == null) {
            throw new IllegalStateException("a lock that waits was not given");
        }
        return held;
    }

    /**
     * Takes a lock on a file of that very name, or gives null where another holds it.
     *
     * @throws StorageException the folder cannot be written, or its file system has no locks
     */
    public static FileLock tryOf(File lock) throws StorageException {
        return of(lock, lock.getAbsoluteFile(), false);
    }

    private static FileLock of(File path, File lock, boolean waits) throws StorageException {
        ReentrantLock threads;
        synchronized (THREADS) {
            threads = THREADS.computeIfAbsent(lock, name -> new ReentrantLock());
        }
        if (waits) {
            threads.lock();
        } else if (threads.isHeldByCurrentThread() || !threads.tryLock()) {
            return null;
        }
        boolean held = false;
        try {
            held = threads.getHoldCount() > 1 || acquired(lock, waits);
            return held ? new FileLock(lock, threads) : null;
        } catch (IOException error) {
            throw Storage.failed(path, error);
        } finally {
            if (!held) {
                threads.unlock();
            }
        }
    }

    private static boolean acquired(File lock, boolean waits) throws IOException {
        Files.createDirectories(lock.getParentFile().toPath());
        FileChannel channel =
                FileChannel.open(
                        lock.toPath(), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        boolean held = false;
        try {
            Storage.ownerOnly(lock);
            held = (waits ? channel.lock() : channel.tryLock()) != null;
        } catch (OverlappingFileLockException error) {
            held = false; // another class loader of this process
        } finally {
            if (held) {
                synchronized (THREADS) {
                    CHANNELS.put(lock, channel);
                }
            } else {
                channel.close();
            }
        }
        return held;
    }

    /** Gives it back. */
    @Override
    public void close() {
        if (threads.getHoldCount() == 1) {
            FileChannel channel;
            synchronized (THREADS) {
                channel = CHANNELS.remove(lock);
            }
            try {
                channel.close();
            } catch (IOException error) {
                // the system gives it back at the latest when the process ends
            }
        }
        threads.unlock();
    }

    private static File lockOf(File path) {
        File absolute = path.getAbsoluteFile();
        return new File(absolute.getParentFile(), "." + absolute.getName() + ".lock");
    }
}
