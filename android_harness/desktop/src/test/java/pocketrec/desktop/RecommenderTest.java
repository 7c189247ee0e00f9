// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import pocketrec.core.Bundle;
import pocketrec.core.Cancellation;
import pocketrec.core.CancelledException;
import pocketrec.core.Event;
import pocketrec.core.Recommendation;
import pocketrec.core.RecommendOptions;
import pocketrec.core.Recommender;
import pocketrec.core.Report;
import pocketrec.core.States;
import pocketrec.core.TrainingOptions;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The same decisions, rankings and states as the Python runner, on the users of a synthetic log.
 */
class RecommenderTest {
    @TempDir Path folder;

    private static Map<String, Object> histories() throws Exception {
        return Reference.map(Reference.read("users").get("histories"));
    }

    private static Map<String, Object> outcomes(String name) throws Exception {
        return Reference.map(Reference.map(Reference.read("users").get("users")).get(name));
    }

    /** Equal decisions, and numbers that differ by rounding only. */
    private static void same(String user, Object expected, Report report) {
        Map<String, Object> python = Reference.map(expected);
        Map<String, Object> java = report.toMap();
        assertEquals(python.keySet(), java.keySet());
        for (String key :
                Arrays.asList("choice", "history", "unknown", "events", "heldback", "steps")) {
            assertEquals(python.get(key), java.get(key), user + " " + key);
        }
        Map<String, Object> gains = Reference.map(python.get("expected_gain"));
        assertEquals(gains.keySet(), report.expectedGain.keySet(), user);
        for (String choice : gains.keySet()) {
            assertEquals(
                    Reference.number(gains.get(choice)),
                    report.expectedGain.get(choice),
                    1e-5,
                    user + " " + choice);
        }
        double[] losses = Reference.doubles(python.get("losses"));
        assertEquals(losses.length, report.losses.size(), user);
        for (int pass = 0; pass < losses.length; pass++) {
            assertEquals(losses[pass], report.losses.get(pass), 1e-4 * losses[pass], user);
        }
    }

    private static void sameRanking(String user, Object expected, List<Recommendation> found) {
        List<?> python = (List<?>) expected;
        assertEquals(python.size(), found.size(), user);
        for (int place = 0; place < found.size(); place++) {
            Object item = ((List<?>) python.get(place)).get(0);
            assertEquals(item, found.get(place).item, user + " place " + (place + 1));
            assertEquals(
                    Reference.number(((List<?>) python.get(place)).get(1)),
                    found.get(place).score,
                    1e-5,
                    user);
        }
    }

    @Test
    void leanBundlesGiveWhatPythonMakesOfThem() throws Exception {
        File copy = Reference.copy("lean", folder.resolve("lean"));
        for (File made : copy.listFiles((dir, name) -> name.endsWith(".tflite"))) {
            assertTrue(made.delete());
        }
        Bundle bundle = Bundle.open(copy);
        for (Map.Entry<String, Object> entry : outcomes("lean").entrySet()) {
            String user = entry.getKey();
            Map<String, Object> expected = Reference.map(entry.getValue());
            List<Event> events = new ArrayList<>();
            for (Object one : (List<?>) expected.get("events")) {
                List<?> event = (List<?>) one;
                events.add(
                        new Event((String) event.get(0), Reference.number(event.get(1)))
                                .ofCategory((String) event.get(2)));
            }
            File state = folder.resolve(user).toFile();
            try (Recommender recommender =
                    new Recommender(bundle, Reference.runtime(), user, state, 1)) {
                same(user, expected.get("report"), recommender.personalise(events));
                assertEquals(expected.get("history"), recommender.history());
                sameRanking(user, expected.get("recommended"), recommender.recommend(10));
                double[] embedding = Reference.doubles(expected.get("embedding"));
                float[] found = recommender.embed();
                for (int place = 0; place < embedding.length; place++) {
                    assertEquals(embedding[place], found[place], 1e-5, user);
                }
                recommender.save();
            }
            try (Recommender unnamed = // takes the user, and so the shard, from the state
                    new Recommender(bundle, Reference.runtime(), null, state, 1)) {
                sameRanking(user, expected.get("recommended"), unnamed.recommend(10));
            }
        }
        String[] made = copy.list((dir, name) -> name.matches("model\\..*\\.tflite"));
        assertTrue(made.length > 0);
        for (String name : made) {
            assertArrayEquals(
                    Files.readAllBytes(new File(Reference.folder(), "lean/" + name).toPath()),
                    Files.readAllBytes(new File(copy, name).toPath()),
                    name);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"plain", "raised", "timed", "sampled", "cloze"})
    void fiftyUsersGetPythonsDecisionsAndRankings(String name) throws Exception {
        Bundle bundle = Reference.bundle(name);
        Map<String, Object> histories = histories();
        Set<String> choices = new HashSet<>();
        int users = 0;
        for (Map.Entry<String, Object> entry : outcomes(name).entrySet()) {
            Map<String, Object> expected = Reference.map(entry.getValue());
            String user = entry.getKey();
            try (Recommender recommender =
                    new Recommender(bundle, Reference.runtime(), user, null, 1)) {
                Report report = recommender.personalise(Reference.events(histories.get(user)));
                same(user, expected.get("report"), report);
                boolean masked = bundle.manifest.maskSeen;
                double now = Reference.number(expected.get("now"));
                sameRanking(
                        user,
                        expected.get("recommended"),
                        recommender.recommend(
                                10, RecommendOptions.DEFAULT.withMaskSeen(masked).withNow(now)));
                double[] embedding = Reference.doubles(expected.get("embedding"));
                float[] found = recommender.embed();
                for (int place = 0; place < embedding.length; place++) {
                    assertEquals(embedding[place], found[place], 1e-5, user);
                }
                choices.add(report.choice);
                users++;
            }
        }
        assertEquals(50, users);
        Set<String> all = new HashSet<>(Arrays.asList("personal", "blend", "global"));
        if (name.equals("timed")) { // whose guard weighs every share
            all.addAll(Arrays.asList("quarter", "most"));
        }
        assertEquals(all, choices, "the test sees every choice");
    }

    @ParameterizedTest
    @ValueSource(strings = {"plain", "raised", "cloze"})
    void statesThatPythonWroteAreContinued(String name) throws Exception {
        Bundle bundle = Reference.bundle(name);
        Map<String, Object> histories = histories();
        int continued = 0;
        for (Map.Entry<String, Object> entry : outcomes(name).entrySet()) {
            Object resumed = Reference.map(entry.getValue()).get("resumed");
            if (resumed == null) {
                continue;
            }
            String user = entry.getKey();
            Map<String, Object> expected = Reference.map(resumed);
            File python = new File(Reference.folder(), name + "." + user + ".state");
            File copy = folder.resolve(python.getName()).toFile();
            Files.copy(python.toPath(), copy.toPath());
            List<Event> events = Reference.events(histories.get(user));
            List<Event> later =
                    events.subList((int) Reference.number(expected.get("cut")), events.size());
            try (Recommender recommender =
                    new Recommender(bundle, Reference.runtime(), user, copy, 1)) {
                same(
                        user,
                        expected.get("report"),
                        recommender.personalise(later, true, TrainingOptions.DEFAULT));
                sameRanking(user, expected.get("recommended"), recommender.recommend(10));
                continued++;
            }
        }
        assertEquals(8, continued);
    }

    @Test
    void statesThatJavaWroteAreReadByPython() throws Exception {
        Bundle bundle = Reference.bundle("raised");
        Map<String, Object> histories = histories();
        Set<Object> choices = new HashSet<>();
        for (String user : Arrays.asList("u0", "u1", "u2", "u3", "u4", "u5")) {
            File state = folder.resolve(user).toFile();
            try (Recommender recommender =
                    new Recommender(bundle, Reference.runtime(), user, state, 1)) {
                Report report = recommender.personalise(Reference.events(histories.get(user)));
                recommender.save();
                choices.add(report.choice);
                Map<String, Object> shown =
                        Reference.pocketrec(
                                "state",
                                "show",
                                "--bundle",
                                bundle.folder.toString(),
                                "--user",
                                user,
                                "--state",
                                state.toString());
                assertEquals(report.toMap(), shown.get("report"), user);
                Map<String, Object> ranked =
                        Reference.pocketrec(
                                "recommend",
                                "--bundle",
                                bundle.folder.toString(),
                                "--user",
                                user,
                                "--state",
                                state.toString(),
                                "-k",
                                "10",
                                "--runtime",
                                "ai_edge_litert");
                List<Object> pairs = new ArrayList<>();
                for (int place = 0; place < 10; place++) {
                    pairs.add(
                            Arrays.asList(
                                    ((List<?>) ranked.get("items")).get(place),
                                    ((List<?>) ranked.get("scores")).get(place)));
                }
                sameRanking(user, pairs, recommender.recommend(10));
            }
        }
        assertTrue(choices.size() > 1, "personal weights and global ones cross");
    }

    @Test
    void saveLoadContinueEqualsOneGo() throws Exception {
        Bundle bundle = Reference.bundle("plain");
        List<Event> events = Reference.events(histories().get("u1"));
        File state = folder.resolve("state").toFile();
        try (Recommender whole = new Recommender(bundle, Reference.runtime(), "u1", null, 1);
                Recommender first = new Recommender(bundle, Reference.runtime(), "u1", state, 1)) {
            for (Recommender one : Arrays.asList(whole, first)) {
                one.personalise(events.subList(0, 60));
            }
            first.save();
            try (Recommender second =
                    new Recommender(bundle, Reference.runtime(), null, state, 1)) {
                Report expected = whole.personalise(events, true, TrainingOptions.DEFAULT);
                Report found = second.personalise(events, true, TrainingOptions.DEFAULT);
                assertEquals(expected.toMap(), found.toMap());
                assertEquals(whole.recommend(20).toString(), second.recommend(20).toString());
                assertEquals(whole.history(), second.history());
                second.save();
                assertTrue(States.previousOf(state).exists());
                assertEquals(1, States.restore(state, bundle).generation);
                File quality = new File(state + ".quality");
                assertEquals(Arrays.asList(quality, state), States.reset(state));
            }
        }
    }

    @Test
    void aCancelledTrainingChangesNothing() throws Exception {
        Bundle bundle = Reference.bundle("plain");
        List<Event> events = Reference.events(histories().get("u2"));
        try (Recommender recommender =
                new Recommender(bundle, Reference.runtime(), "u2", null, 1)) {
            recommender.add(events);
            String before = recommender.recommend(20).toString();
            for (int after : new int[] {1, 3, 9}) {
                Cancellation cancellation = new Cancellation();
                int[] steps = {0};
                TrainingOptions options =
                        TrainingOptions.DEFAULT
                                .withCancellation(cancellation)
                                .withProgress(
                                        (done, total, loss) -> {
                                            if (++steps[0] == after) {
                                                cancellation.cancel();
                                            }
                                        });
                assertThrows(
                        CancelledException.class,
                        () -> recommender.personalise(Collections.emptyList(), false, options));
                assertEquals(after, steps[0]);
                assertEquals(before, recommender.recommend(20).toString());
                assertTrue(recommender.report().isEmpty());
            }
        }
    }

    @Test
    void evaluateGivesThePlaceInTheWholeCatalogue() throws Exception {
        Bundle bundle = Reference.bundle("raised");
        List<Event> events = Reference.events(histories().get("u3"));
        List<String> everything = new ArrayList<>();
        for (int row = 1; row <= bundle.vocabulary.size(); row++) {
            everything.add(bundle.vocabulary.id(row));
        }
        try (Recommender recommender =
                new Recommender(bundle, Reference.runtime(), "u3", null, 1)) {
            recommender.personalise(events.subList(0, 70));
            for (String item : Arrays.asList("item 1", "item 7", "item 30")) {
                List<Recommendation> ranked = recommender.recommend(
                                60, RecommendOptions.DEFAULT.withCandidates(everything));
                int place = 0;
                while (!ranked.get(place).item.equals(item)) {
                    place++;
                }
                double[] rank =
                        recommender.evaluate(
                                        Collections.singletonList(new Event(item)),
                                        new Cancellation())
                                .rank;
                assertEquals(1, rank.length);
                assertEquals(place + 1, rank[0], item);
                recommender.add(Collections.singletonList(new Event(item)));
            }
            assertEquals(
                    0,
                    recommender.evaluate(
                                    Collections.singletonList(new Event("?")), new Cancellation())
                            .rank
                            .length);
        }
    }

    @Test
    void edges() throws Exception {
        Bundle bundle = Reference.bundle("plain");
        try (Recommender recommender =
                new Recommender(bundle, Reference.runtime(), "nobody", null, 1)) {
            assertEquals(
                    "[item 1 1.0, item 2 0.5]",
                    recommender.recommend(2).toString(),
                    "popular items for the unknown");
            Report report =
                    recommender.personalise(
                            Arrays.asList(new Event("item 3"), new Event("no such item")));
            assertEquals("there is no event to learn from", report.reason);
            assertEquals(1, report.unknown);
            assertEquals(Collections.singletonList("item 3"), recommender.history());
            assertFalse(
                    recommender.recommend(60, RecommendOptions.DEFAULT.withMaskSeen(true)).stream()
                            .anyMatch(one -> one.item.equals("item 3")));
            List<String> named = Arrays.asList("item 9", "item 8", "item 9", "?");
            RecommendOptions of = RecommendOptions.DEFAULT.withCandidates(named);
            assertEquals(2, recommender.recommend(9, of).size());
            String ranked = recommender.recommend(5).toString();
            recommender.reset();
            assertNotEquals(ranked, recommender.recommend(5).toString());
        }
    }
}
