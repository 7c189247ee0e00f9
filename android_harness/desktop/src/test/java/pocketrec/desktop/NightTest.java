// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import pocketrec.core.Budget;
import pocketrec.core.Bundle;
import pocketrec.core.Event;
import pocketrec.core.ModelRuntime;
import pocketrec.core.QualityReport;
import pocketrec.core.Recommender;
import pocketrec.core.Report;
import pocketrec.core.StoreException;
import pocketrec.core.TrainingOptions;
import pocketrec.store.Database;
import pocketrec.store.EventStore;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.function.Supplier;

/** The third example of docs/android.md: a minute a night, with sealed files. */
class NightTest {
    // example begins
    static boolean night(
            File files,
            Bundle bundle,
            ModelRuntime runtime,
            Database.Opener databases,
            byte[] key, // 32 random bytes, see below
            Supplier<String> busy) // why not to train now, "" = go on
            throws Exception {
        Budget budget = Budget.NONE.withSeconds(60).withReason(busy);
        TrainingOptions options = TrainingOptions.DEFAULT.withBudget(budget).onlyIfNew();
        File events = new File(files, "u1.events");
        File state = new File(files, "u1.state");
        try (EventStore store = EventStore.open(events, databases, key);
                Recommender recommender =
                        new Recommender(bundle, runtime, "u1", state, store, 1, key)) {
            Report report = recommender.personalise(Collections.emptyList(), false, options);
            recommender.save(); // a training that was stopped too
            QualityReport quality = recommender.quality();
            System.out.println(report.reason + "; MRR@10 of late " + quality.mrr);
            return report.paused == 0; // else the next night goes on where this one was stopped
        }
    }

    // example ends

    @TempDir Path folder;

    @Test
    void itRuns() throws Exception {
        Bundle bundle = Reference.bundle("plain");
        byte[] key = new byte[32];
        key[7] = 1;
        JdbcDatabases databases = new JdbcDatabases();
        File path = folder.resolve("u1.events").toFile();
        try (EventStore store = EventStore.open(path, databases, key)) {
            Object known = Reference.read("users").get("histories");
            List<Event> events = Reference.events(Reference.map(known).get("u1"));
            assertEquals(events.size(), store.append(events));
            assertTrue(store.sealed());
        }
        int nights = 0;
        boolean done = false;
        while (!done) {
            int[] left = {3};
            Supplier<String> busy = () -> left[0]-- > 0 ? "" : "somebody plays";
            done = night(folder.toFile(), bundle, Reference.runtime(), databases, key, busy);
            nights++;
        }
        assertTrue(nights > 2, nights + " nights");
        assertTrue(
                night(folder.toFile(), bundle, Reference.runtime(), databases, key, () -> "no"),
                "nothing is new");
        assertThrows(StoreException.class, () -> EventStore.open(path, databases));
        for (String name : new String[] {"u1.state", "u1.state.quality", "u1.events"}) {
            byte[] content = Files.readAllBytes(folder.resolve(name));
            String text = new String(content, StandardCharsets.ISO_8859_1);
            assertFalse(text.contains("item"), name);
        }
    }
}
