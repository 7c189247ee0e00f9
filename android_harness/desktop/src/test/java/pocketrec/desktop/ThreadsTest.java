// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import pocketrec.core.Event;
import pocketrec.core.FileLock;
import pocketrec.core.Recommender;
import pocketrec.core.States;
import pocketrec.store.EventStore;

import java.io.File;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Threads of one process that share a user's files. */
class ThreadsTest {
    private static final int EACH = 25;

    @TempDir Path folder;

    @Test
    void threadsThatAppendLoseNothingWhetherTheyShareAStoreOrHaveTheirOwn() throws Exception {
        File path = folder.resolve("events").toFile();
        ExecutorService threads = Executors.newFixedThreadPool(4);
        try (EventStore shared = EventStore.open(path, new JdbcDatabases());
                EventStore own = EventStore.open(path, new JdbcDatabases())) {
            List<Future<Integer>> working = new ArrayList<>();
            for (int thread = 0; thread < 4; thread++) {
                String name = "thread " + thread;
                EventStore store = thread == 0 ? own : shared;
                working.add(
                        threads.submit(
                                () -> {
                                    int added = 0;
                                    for (int number = 0; number < EACH; number++) {
                                        Event event = new Event(name, number);
                                        added += store.append(Collections.singletonList(event));
                                        store.replay(0);
                                    }
                                    return added;
                                }));
            }
            for (Future<Integer> one : working) {
                assertEquals(EACH, one.get(60, TimeUnit.SECONDS));
            }
            Set<String> found = new HashSet<>();
            for (Event event : own.replay(0).events) {
                found.add(event.item + " " + event.time);
            }
            assertEquals(4 * EACH, found.size());
            assertEquals(4 * EACH, shared.size());
        } finally {
            threads.shutdownNow();
        }
    }

    @Test
    void aThreadThatWasInterruptedSavesWhatItHas() throws Exception {
        File state = folder.resolve("state").toFile();
        try (Recommender recommender =
                new Recommender(Reference.bundle("plain"), Reference.runtime(), "u1", state, 1)) {
            recommender.add(Collections.singletonList(new Event("item 3")));
            Thread.currentThread().interrupt();
            recommender.save();
            assertTrue(Thread.interrupted(), "it stays interrupted");
        }
        assertEquals(1, States.load(state, Reference.bundle("plain")).rows().length);
    }

    @Test
    void whoHoldsALockIsAloneAndMayTakeItTwice() throws Exception {
        File path = folder.resolve("state").toFile();
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        Callable<Void> work =
                () -> {
                    for (int turn = 0; turn < 20; turn++) {
                        try (FileLock lock = FileLock.of(path);
                                FileLock again = FileLock.of(path)) {
                            most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                            Thread.yield();
                            inside.decrementAndGet();
                        }
                    }
                    return null;
                };
        ExecutorService threads = Executors.newFixedThreadPool(3);
        try {
            for (Future<Void> one :
                    threads.invokeAll(Collections.nCopies(3, work), 60, TimeUnit.SECONDS)) {
                one.get();
            }
        } finally {
            threads.shutdownNow();
        }
        assertEquals(1, most.get());
        File pulls = folder.resolve("lock").toFile();
        try (FileLock held = FileLock.tryOf(pulls)) {
            assertNotNull(held);
            assertNull(FileLock.tryOf(pulls), "a pull inside a pull is another pull");
        }
        try (FileLock held = FileLock.tryOf(pulls)) {
            assertNotNull(held, "it was given back");
        }
    }
}
