// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import pocketrec.core.Bundle;
import pocketrec.core.Cancellation;
import pocketrec.core.Event;
import pocketrec.core.ModelRuntime;
import pocketrec.core.Recommendation;
import pocketrec.core.Recommender;
import pocketrec.core.Report;
import pocketrec.core.TrainingOptions;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The example of docs/android.md: a Python test compares the two, this one runs it. */
class ExampleTest {
    // example begins
    static List<String> recommend(File files, ModelRuntime runtime) throws Exception {
        Bundle.unpack(new File(files, "bundle.zip"), new File(files, "bundle"));
        Bundle bundle = Bundle.open(new File(files, "bundle")); // every file is verified
        File state = new File(files, "u1.state"); // need not exist yet
        Cancellation cancellation = new Cancellation(); // another thread may call cancel()
        TrainingOptions options =
                TrainingOptions.DEFAULT
                        .withCancellation(cancellation)
                        .withProgress(
                                (done, total, loss) -> System.out.println(done + "/" + total));
        // With the log's time: new Event("item 3", 1795258285).
        List<Event> events =
                Arrays.asList(
                        new Event("item 3"),
                        new Event("item 7"),
                        new Event("item 3"),
                        new Event("item 7"));
        List<String> best = new ArrayList<>();
        try (Recommender recommender = new Recommender(bundle, runtime, "u1", state, 1)) {
            Report report = recommender.personalise(events, false, options);
            System.out.println(report.choice + ": " + report.reason);
            recommender.save(); // in one step; the previous generation is kept
            for (Recommendation one : recommender.recommend(5)) {
                best.add(one.item);
            }
        }
        return best;
    }

    // example ends

    @TempDir Path folder;

    @Test
    void itRuns() throws Exception {
        Path archive = new File(Reference.folder(), "plain.zip").toPath();
        Files.copy(archive, folder.resolve("bundle.zip"));
        assertEquals(5, recommend(folder.toFile(), Reference.runtime()).size());
    }
}
