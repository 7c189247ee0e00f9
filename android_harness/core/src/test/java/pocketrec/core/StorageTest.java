// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.File;
import java.nio.file.Path;

class StorageTest {
    @TempDir Path folder;

    @Test
    void thePreviousContentIsKept() throws Exception {
        File file = folder.resolve("deep/state").toFile();
        File previous = States.previousOf(file);
        for (byte generation = 1; generation <= 3; generation++) {
            Storage.writeAtomic(file, new byte[] {generation}, previous);
        }
        assertArrayEquals(new byte[] {3}, Storage.read(file));
        assertArrayEquals(new byte[] {2}, Storage.read(previous));
        assertEquals(2, file.getParentFile().list().length, "no temporary file stays");
    }

    @Test
    void aFolderThatCannotBeWrittenIsOneLine() throws Exception {
        File inTheWay = folder.resolve("file").toFile();
        Storage.writeAtomic(inTheWay, new byte[] {1}, null);
        StorageException error =
                assertThrows(
                        StorageException.class,
                        () ->
                                Storage.writeAtomic(
                                        new File(inTheWay, "state"), new byte[] {1}, null));
        assertTrue(
                error.getMessage().endsWith("free some space or name a folder that can be written"),
                error.getMessage());
        assertFalse(error.getMessage().contains("\n"));
        assertArrayEquals(new byte[] {1}, Storage.read(inTheWay));
    }
}
