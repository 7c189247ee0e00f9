// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import static pocketrec.desktop.Refusals.refused;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import pocketrec.core.Bundle;
import pocketrec.core.Event;
import pocketrec.core.PocketRecException;
import pocketrec.core.Recommender;
import pocketrec.core.StateException;
import pocketrec.core.States;
import pocketrec.core.StorageException;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** States that are damaged, of another model or user, or that cannot be written. */
class BadStateTest {
    @TempDir Path folder;

    private File bundle;
    private File state;

    @BeforeEach
    void copy() throws Exception {
        bundle = Reference.copy("plain", folder.resolve("bundle"));
        state = folder.resolve("state").toFile();
    }

    /** A state with personal weights, and the generation before it. */
    private Recommender saved() throws Exception {
        Recommender recommender =
                new Recommender(Bundle.open(bundle), Reference.runtime(), "u1", state, 1);
        recommender.save();
        recommender.personalise(
                Reference.events(
                        Reference.map(Reference.read("users").get("histories")).get("u1")));
        recommender.save();
        return recommender;
    }

    @Test
    void damagedStates() throws Exception {
        saved().close();
        byte[] good = Files.readAllBytes(state.toPath());
        byte[] altered = good.clone();
        altered[good.length - 9] ^= 1;
        Files.write(state.toPath(), altered);
        Bundle opened = Bundle.open(bundle);
        refused(StateException.class, "is damaged", () -> States.load(state, opened));
        assertArrayEquals(altered, Files.readAllBytes(state.toPath()), "nothing was overwritten");
        Files.write(state.toPath(), Arrays.copyOf(good, good.length / 3));
        refused(
                StateException.class,
                "is damaged",
                () -> new Recommender(opened, Reference.runtime(), "u1", state, 1));
        assertEquals(1, States.restore(state, opened).generation);
        assertEquals(
                0, new Recommender(opened, Reference.runtime(), "u1", state, 1).history().size());
        refused(
                StateException.class,
                "no previous generation",
                () -> States.restore(state, opened));
        Files.write(state.toPath(), "pocketrec sealed 1\n...".getBytes(StandardCharsets.US_ASCII));
        refused(StateException.class, "is encrypted", () -> States.load(state, opened));
        Files.write(state.toPath(), "a diary".getBytes(StandardCharsets.US_ASCII));
        refused(StateException.class, "not a personal state", () -> States.load(state, opened));
        refused(StateException.class, "was not deleted", () -> States.reset(state));
    }

    @Test
    void stateOfAnotherModelOrUserOrNone() throws Exception {
        saved().close();
        byte[] before = Files.readAllBytes(state.toPath());
        Bundle other = Reference.bundle("sampled");
        refused(StateException.class, "belongs to another model", () -> States.load(state, other));
        refused(
                StateException.class,
                "is the state of user u1",
                () -> new Recommender(Bundle.open(bundle), Reference.runtime(), "u2", state, 1));
        assertArrayEquals(before, Files.readAllBytes(state.toPath()));
        Recommender nowhere =
                new Recommender(Bundle.open(bundle), Reference.runtime(), "u1", null, 1);
        refused(StateException.class, "no state file was named", nowhere::save);
        refused(
                StateException.class,
                "no state file",
                () -> States.load(folder.resolve("none").toFile(), nowhere(bundle)));
    }

    private static Bundle nowhere(File bundle) throws PocketRecException {
        return Bundle.open(bundle);
    }

    /** A process that may write files of at most a few kilobytes saves a larger state. */
    @Test
    void fullStorageLeavesBothGenerationsGood() throws Exception {
        saved().close();
        byte[] before = Files.readAllBytes(state.toPath());
        byte[] previous = Files.readAllBytes(States.previousOf(state).toPath());
        String java = System.getProperty("java.home") + "/bin/java";
        ProcessBuilder builder =
                new ProcessBuilder(
                        "bash",
                        "-c",
                        "ulimit -f 8 && exec \"$@\"",
                        "bash",
                        java,
                        "-XX:-UsePerfData",
                        "-cp",
                        System.getProperty("java.class.path"),
                        SaveTooMuch.class.getName(),
                        bundle.toString(),
                        state.toString());
        Process process = builder.redirectErrorStream(true).start();
        String said = new String(Reference.readAll(process), StandardCharsets.UTF_8).trim();
        assertTrue(process.waitFor(60, TimeUnit.SECONDS));
        assertEquals(0, process.exitValue(), said);
        assertTrue(said.startsWith("StorageException cannot write " + state), said);
        assertTrue(said.endsWith("free some space or name a folder that can be written"), said);
        assertArrayEquals(before, Files.readAllBytes(state.toPath()));
        assertArrayEquals(previous, Files.readAllBytes(States.previousOf(state).toPath()));
        assertEquals(5, folder.toFile().list().length, "a lock, quality, no temporary file");
    }

    /** Saves a state of 1,000 events in place of the one that is there. */
    static final class SaveTooMuch {
        public static void main(String[] arguments) throws Exception {
            Recommender recommender =
                    new Recommender(
                            Bundle.open(new File(arguments[0])),
                            null,
                            "u1",
                            new File(arguments[1]),
                            1);
            List<Event> events = Collections.nCopies(1000, new Event("item 3"));
            recommender.add(events);
            try {
                recommender.save();
            } catch (StorageException error) {
                System.out.println("StorageException " + error.getMessage());
            }
        }
    }

    @Test
    void statesThatNoTrainingMakes() throws Exception {
        Bundle plain = Reference.bundle("plain");
        String[][] told = {
            {"weights", "it has weights that are not numbers"},
            {"times", "its times are not valid, or not in order"},
            {"rows", "a row of the history is not in the vocabulary"},
            {"trained", "it has learned from more events than it holds"},
        };
        for (String[] one : told) {
            File state = new File(Reference.folder(), "altered." + one[0] + ".state");
            refused(StateException.class, one[1], () -> States.load(state, plain));
        }
    }
}
