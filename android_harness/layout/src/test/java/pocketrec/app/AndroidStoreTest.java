// SPDX-License-Identifier: Apache-2.0
package pocketrec.app;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;

import pocketrec.core.Event;
import pocketrec.core.StoreException;
import pocketrec.desktop.JdbcDatabases;
import pocketrec.runtime.AndroidDatabases;
import pocketrec.store.EventStore;
import pocketrec.store.Repair;

import java.io.File;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** The event store on Android's own SQLite, and on JDBC: one file, read and written by both. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 35, application = LayoutTest.OnJvm.class)
public class AndroidStoreTest {
    @Rule public TemporaryFolder folder = new TemporaryFolder();

    private final AndroidDatabases android = new AndroidDatabases();
    private final JdbcDatabases jdbc = new JdbcDatabases();
    private File path;

    @Before
    public void name() {
        path = new File(folder.getRoot(), "u1.events");
    }

    private static List<Event> events(int count) {
        List<Event> events = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            Event event = new Event("item " + number % 7, 1.7e9 + number / 3.0);
            events.add(number % 2 == 0 ? event : event.ofCategory("shoes"));
        }
        return events;
    }

    @Test
    public void oneFileForBoth() throws Exception {
        List<Event> events = events(4500);
        try (EventStore store = EventStore.open(path, android)) {
            assertEquals(4500, store.append(events));
            assertEquals(0, store.append(events));
            assertEquals(1, store.append(Collections.singletonList(new Event("item 1"))));
            try (EventStore other = EventStore.open(path, jdbc)) { // at the same time
                assertEquals(0, other.append(events));
                assertEquals(1, other.append(Collections.singletonList(new Event("late", 2e9))));
                assertEquals(store.replay(0).ids, other.replay(0).ids);
                assertEquals(4502, store.size());
                assertEquals(store.identity(), other.identity());
            }
            String before = store.identity();
            assertEquals(1, store.forget(Collections.singletonList(new Event("late"))));
            assertNotEquals(before, store.identity());
            assertEquals(4401, store.retainNewest(100));
            assertEquals(4401, store.dropped());
            assertEquals(100, store.replay(0).events.size());
        }
        try (EventStore store = EventStore.openExisting(path, jdbc)) {
            assertEquals(100, store.size());
        }
        assertTrue(EventStore.wipe(path, android).contains(path));
        assertEquals(0, folder.getRoot().list().length);
    }

    /** Android's own handler of damage deletes the file. */
    @Test
    public void aDamagedFileStaysAndIsRepaired() throws Exception {
        try (EventStore store = EventStore.open(path, android)) {
            store.append(events(3000));
        }
        byte[] content = Files.readAllBytes(path.toPath());
        Arrays.fill(content, 5 * 4096, 25 * 4096, (byte) 0xFF);
        Files.write(path.toPath(), content);
        try (EventStore store = EventStore.open(path, android)) {
            StoreException error = assertThrows(StoreException.class, () -> store.replay(0));
            assertTrue(error.getMessage(), error.getMessage().contains("is damaged"));
        }
        byte[] left = Files.readAllBytes(path.toPath());
        assertEquals(content.length, left.length); // the header counts the times it was opened
        assertArrayEquals(
                Arrays.copyOfRange(content, 100, content.length),
                Arrays.copyOfRange(left, 100, left.length));
        Repair.Repaired repaired = EventStore.repair(path, android);
        assertTrue(repaired.kept.exists());
        try (EventStore store = EventStore.openExisting(path, android)) {
            assertEquals(repaired.saved, store.replay(0).ids.size());
        }
        assertTrue(EventStore.wipe(path, android).contains(repaired.kept));
        Files.write(path.toPath(), "a diary".getBytes("US-ASCII"));
        assertThrows(StoreException.class, () -> EventStore.open(path, android));
        assertThrows(StoreException.class, () -> EventStore.wipe(path, android));
        assertEquals("a diary", new String(Files.readAllBytes(path.toPath()), "US-ASCII"));
    }
}
