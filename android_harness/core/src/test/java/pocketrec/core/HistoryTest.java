// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

import java.util.Arrays;

class HistoryTest {
    private static final PersonalState OLD =
            PersonalState.empty("u", 1)
                    .withHistory(new int[] {1, 2, 2, 3}, new double[] {10, 20, 20, 30}, 3);

    private static PersonalState merged(PersonalState old, int[] rows, Double... times) {
        return merged(Double.POSITIVE_INFINITY, old, rows, times);
    }

    private static PersonalState merged(
            double limit, PersonalState old, int[] rows, Double... times) {
        Event[] events = new Event[rows.length];
        Arrays.setAll(
                events,
                place -> times[place] == null ? new Event("x") : new Event("x", times[place]));
        return History.merged(old, Arrays.asList(events), rows, 5.0, limit);
    }

    @Test
    void eventsGoInByTimeAndEqualOnesOnlyOnce() {
        PersonalState state = merged(OLD, new int[] {2, 2, 2, 4, 0}, 20.0, 20.0, 20.0, 15.0, 16.0);
        assertArrayEquals(new int[] {1, 4, 2, 2, 2, 3}, state.rows());
        assertArrayEquals(new double[] {10, 15, 20, 20, 20, 30}, state.times());
        assertEquals(4, state.trained, "what training has seen ends after the third old event");
    }

    @Test
    void anEventWithoutATimeIsTheLatest() {
        assertArrayEquals(
                new double[] {10, 20, 20, 30, 30, 40, 40},
                merged(OLD, new int[] {5, 6, 7}, null, 40.0, null).times());
        PersonalState empty = PersonalState.empty("u", 0);
        assertArrayEquals(
                new double[] {5},
                merged(empty, new int[] {5}, (Double) null).times(),
                "not before the cut-off");
    }

    @Test
    void anEventOfTheFutureIsNotTheLatest() {
        assertArrayEquals(
                new double[] {10, 20, 20, 30, 30, 999},
                merged(100.0, OLD, new int[] {5, 6}, 999.0, null).times());
        assertEquals(3, History.until(new double[] {1, 2, 2, 3}, 2.0));
        assertEquals(0, History.until(new double[] {1}, 0.5));
    }

    @Test
    void theFutureBeginsADayAfterAClockThatHasPassedTheCutOff() {
        assertEquals(2e9 + 86_400, Clock.futureFrom(2e9, 1.7e9));
        assertEquals(Double.POSITIVE_INFINITY, Clock.futureFrom(0, 1.7e9), "a clock of 1970");
        assertEquals(Double.POSITIVE_INFINITY, Clock.futureFrom(2e9, 1000.0), "places, not times");
        assertEquals(Double.POSITIVE_INFINITY, Clock.futureFrom(2e9, null));
    }

    @Test
    void atMostTheLatestEventsAreLearnedFrom() {
        assertEquals(7, Guard.learnedSince(100, 7));
        assertEquals(5_000, Guard.learnedSince(Guard.LEARNED + 5_000, 7));
    }
}
