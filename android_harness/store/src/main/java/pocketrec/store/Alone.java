// SPDX-License-Identifier: Apache-2.0
package pocketrec.store;

import pocketrec.core.StoreException;

import java.io.Closeable;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;

/**
 * A store's file, opened beside SQLite and held, so that no other process has it open until it is
 * replaced. SQLite's own exclusive lock would do the same, but not on a file with a damaged first
 * page. This process must not have it open: closing this would take the locks from its connection.
 */
final class Alone implements Closeable {
    private static final long LOCKS_AT = 0x40000000L; // where SQLite locks a file
    private static final long LOCK_BYTES = 512;

    private final FileChannel channel;

    private Alone(FileChannel channel) {
        this.channel = channel;
    }

    /**
     * Takes the file.
     *
     * @throws StoreException another process, or a store of this one, has it open
     */
    static Alone with(File path) throws StoreException, IOException {
        if (StoreFile.openHere(path)) {
            throw new StoreException(path + " is open in this process: close it first");
        }
        FileChannel channel =
                FileChannel.open(path.toPath(), StandardOpenOption.READ, StandardOpenOption.WRITE);
        boolean held = false;
        try {
            held = channel.tryLock(LOCKS_AT, LOCK_BYTES, false) != null;
        } catch (OverlappingFileLockException error) {
            held = false;
        } finally {
            if (!held) {
                channel.close();
            }
        }
        if (!held) {
            throw new StoreException(path + " is open in another process: end it first");
        }
        return new Alone(channel);
    }

    /** At most so many first bytes. */
    byte[] head(int most) throws IOException {
        ByteBuffer head = ByteBuffer.allocate(most);
        channel.read(head, 0);
        return Arrays.copyOf(head.array(), head.position());
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
